#include "backfill/chunk.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/dispatch_support.hpp"

namespace segue::backfill {
namespace {

ChunkRange range(const char* low, const char* high) {
    ChunkRange result;
    if (low) result.low = Key{low};
    if (high) result.high = Key{high};
    return result;
}

Route route_of(TableChunks& chunks, std::string_view key, std::uint64_t start) {
    const std::vector<std::string_view> view{key};
    const auto target = chunks.route(view, Position{start});
    EXPECT_TRUE(target);
    return target ? target->route : Route::discard;
}

TEST(TableChunks, RoutesByStateAndByWhereTheCommitBegins) {
    TableChunks chunks{std::make_shared<test::NumberOrder>()};
    Chunk& first = **chunks.add(0, range(nullptr, "10"));
    Chunk& third = **chunks.add(2, range("20", "30"));
    first.state = ChunkState::loaded;
    first.loaded_at = Position{100};
    third.state = ChunkState::open;

    EXPECT_EQ(route_of(chunks, "10", 99), Route::skip);
    EXPECT_EQ(route_of(chunks, "10", 100), Route::apply);
    EXPECT_EQ(route_of(chunks, "11", 100), Route::discard);
    EXPECT_EQ(route_of(chunks, "20", 100), Route::discard) << "low is outside";
    EXPECT_EQ(route_of(chunks, "21", 100), Route::buffer);
    EXPECT_EQ(route_of(chunks, "30", 100), Route::buffer) << "high is inside";
    EXPECT_EQ(route_of(chunks, "31", 100), Route::discard);
    third.state = ChunkState::read;
    EXPECT_EQ(route_of(chunks, "21", 100), Route::buffer);
}

TEST(TableChunks, HolesAreWhatNoChunkCovers) {
    TableChunks chunks{std::make_shared<test::NumberOrder>()};
    EXPECT_EQ(chunks.holes(), (std::vector<ChunkRange>{range(nullptr, nullptr)}));
    (*chunks.add(1, range("10", "20")))->state = ChunkState::loaded;
    EXPECT_EQ(chunks.holes(),
              (std::vector<ChunkRange>{range(nullptr, "10"), range("20", nullptr)}));
    (*chunks.add(2, range("20", nullptr)))->state = ChunkState::loaded;
    (*chunks.add(0, range(nullptr, "10")))->state = ChunkState::read;
    EXPECT_TRUE(chunks.holes().empty());
    chunks.update_complete();
    EXPECT_FALSE(chunks.complete()) << "covered, but not loaded";
    chunks.find(0)->state = ChunkState::loaded;
    chunks.find(0)->loaded_at = Position{7};
    chunks.update_complete();
    EXPECT_TRUE(chunks.complete());
    EXPECT_FALSE(chunks.settled(Position{6}));
    EXPECT_TRUE(chunks.settled(Position{7}));
    chunks.erase(1);
    EXPECT_FALSE(chunks.complete());
    EXPECT_EQ(chunks.holes(), (std::vector<ChunkRange>{range("10", "20")}));
}

TEST(TableChunks, AKeyThatCannotBeOrderedIsAnErrorAndNoGuess) {
    TableChunks chunks{std::make_shared<test::NumberOrder>()};
    ASSERT_TRUE(chunks.add(0, range(nullptr, "10")));
    const std::vector<std::string_view> key{"ten"};
    EXPECT_FALSE(chunks.route(key, Position{1}));
}

TEST(TableChunks, WithoutAnOrderTheTableIsOneChunk) {
    TableChunks chunks{nullptr};
    EXPECT_EQ(route_of(chunks, "x", 5), Route::discard);
    (*chunks.add(0, range(nullptr, nullptr)))->state = ChunkState::open;
    EXPECT_EQ(route_of(chunks, "x", 5), Route::buffer);
}

}  // namespace
}  // namespace segue::backfill
