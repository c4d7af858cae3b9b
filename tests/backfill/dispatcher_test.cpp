#include "backfill/dispatcher.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/dispatch_support.hpp"

namespace segue::backfill {
namespace {

using test::Stream;

template <class... Changes>
std::vector<Change> list(Changes... changes) {
    std::vector<Change> result;
    (result.push_back(std::move(changes)), ...);
    return result;
}

ChunkRange up_to(const char* high) { return {std::nullopt, Key{high}}; }
ChunkRange above(const char* low) { return {Key{low}, std::nullopt}; }

// A chunk in state READ under a snapshot that sees ids below 100.
Chunk& read_chunk(Stream& stream, TableInCopy& table, ChunkRange range) {
    const auto number = stream.dispatcher.open_chunk(table, std::move(range));
    Chunk& chunk = *table.chunks.find(*number);
    stream.dispatcher.chunk_read(chunk, Snapshot{100, 100, {}});
    return chunk;
}

void load(Stream& stream, TableInCopy& table, Chunk& chunk) {
    (void)stream.dispatcher.take_buffer(chunk);
    stream.dispatcher.chunk_loaded(table, chunk);
}

TEST(Dispatcher, GivesTransactionsOnInOrderAndPassesEmptyOnes) {
    Stream stream;
    ASSERT_TRUE(stream.transaction(5, 10, list(stream.insert("1"), stream.rename("1", "2"))));
    ASSERT_TRUE(stream.dispatcher.on(Advance{Position{50}}, stream.out));
    ASSERT_TRUE(stream.dispatcher.on(Advance{Position{40}}, stream.out));
    EXPECT_EQ(stream.given(), "i1 u2 C15 P50");
    EXPECT_EQ(stream.dispatcher.position(), Position{50});
}

TEST(Dispatcher, WhatIsOnTheFollowerAlreadyIsSkippedByWhereItsCommitBegins) {
    Stream stream{{Position{20}, {Position{30}}, {}}};
    EXPECT_FALSE(stream.dispatcher.caught_up());
    ASSERT_TRUE(stream.transaction(1, 15, list(stream.insert("1"))));
    ASSERT_TRUE(stream.transaction(2, 20, list(stream.insert("2"))));
    EXPECT_FALSE(stream.dispatcher.caught_up());
    ASSERT_TRUE(stream.transaction(3, 30, list(stream.insert("3"))));
    EXPECT_TRUE(stream.dispatcher.caught_up());
    EXPECT_FALSE(stream.dispatcher.covers_last_run(Position{30}));
    EXPECT_TRUE(stream.dispatcher.covers_last_run(Position{35}));
    ASSERT_TRUE(stream.transaction(4, 36, list(stream.insert("4"))));
    EXPECT_EQ(stream.given(), "P20 i2 C25 P35 i4 C41");
    EXPECT_EQ(stream.dispatcher.unseen().size(), 4u) << "skipped commits may still be invisible";
}

TEST(Dispatcher, AFollowersStreamIsWatched) {
    Stream stream;
    stream.dispatcher.set_role(StreamRole::watched, Position{});
    ASSERT_TRUE(stream.transaction(1, 10, list(stream.insert("1")), true));
    ASSERT_TRUE(stream.transaction(2, 20, {}));
    ASSERT_TRUE(stream.transaction(3, 30, list(stream.insert("2"))));
    EXPECT_EQ(stream.given(), "P15 P25 S P35");
}

TEST(Dispatcher, AnAuthoritysStreamIsAppliedFromItsEpochOn) {
    Stream stream;
    stream.dispatcher.set_role(StreamRole::applied, Position{20});
    ASSERT_TRUE(stream.transaction(1, 10, list(stream.insert("1")), true));
    ASSERT_TRUE(stream.transaction(2, 15, list(stream.insert("2"))));
    ASSERT_TRUE(stream.transaction(3, 20, list(stream.insert("3"))));
    EXPECT_EQ(stream.given(), "P15 S P20 i3 C25");
}

TEST(Dispatcher, TheMoversOwnRowsNeverGoBack) {
    Stream stream;
    EXPECT_FALSE(stream.transaction(1, 10, list(stream.insert("1")), true));
}

TEST(Dispatcher, AStreamOutOfOrderIsRefused) {
    Stream stream;
    ASSERT_TRUE(stream.transaction(1, 10, list(stream.insert("1"))));
    EXPECT_FALSE(stream.transaction(2, 12, list(stream.insert("2"))));
    Stream inside;
    ASSERT_TRUE(inside.dispatcher.on(TransactionBegin{1, {}, Position{1}}, inside.out));
    EXPECT_FALSE(inside.dispatcher.on(Advance{Position{5}}, inside.out));
    EXPECT_FALSE(inside.dispatcher.on(TransactionBegin{2, {}, Position{6}}, inside.out));
}

TEST(Dispatcher, AChunkBuffersWhatItsSnapshotDoesNotSee) {
    Stream stream;
    TableInCopy& table = stream.copy_table();
    ASSERT_TRUE(stream.transaction(50, 10, list(stream.insert("1"))));
    const auto number = stream.dispatcher.open_chunk(table, up_to("100"));
    ASSERT_TRUE(number);
    Chunk& chunk = *table.chunks.find(*number);
    EXPECT_EQ(chunk.opened_at, Position{15});
    ASSERT_TRUE(stream.transaction(60, 20, list(stream.insert("2"))));
    ASSERT_TRUE(stream.transaction(120, 30, list(stream.insert("3"))));
    stream.dispatcher.chunk_read(chunk, Snapshot{100, 100, {}});
    ASSERT_TRUE(stream.transaction(61, 40, list(stream.insert("4"))));
    ASSERT_TRUE(stream.transaction(121, 50, list(stream.remove("3"), stream.insert("200"))));
    const auto buffered = stream.dispatcher.take_buffer(chunk);
    ASSERT_EQ(buffered.size(), 2u);
    EXPECT_EQ(buffered[0].xid, 120u);
    EXPECT_EQ(buffered[1].xid, 121u);
    EXPECT_EQ(stream.dispatcher.buffered_bytes(), 0u);
    stream.dispatcher.chunk_loaded(table, chunk);
    ASSERT_TRUE(stream.transaction(122, 60, list(stream.insert("5"), stream.insert("201"))));
    EXPECT_EQ(stream.given(), "C15 C25 C35 C45 C55 i5 C65");
}

TEST(Dispatcher, AKeyThatMovesBetweenChunksIsRemovedHereAndInsertedThere) {
    Stream stream;
    TableInCopy& table = stream.copy_table();
    Chunk& loaded = read_chunk(stream, table, up_to("10"));
    load(stream, table, loaded);
    // Into a hole: it goes here, and will be read there.
    ASSERT_TRUE(stream.transaction(200, 10, list(stream.rename("1", "50"))));
    // From a hole: it was not here.
    ASSERT_TRUE(stream.transaction(201, 20, list(stream.rename("51", "2"))));
    EXPECT_EQ(stream.given(), "d1 C15 i2 C25");
    Chunk& reading = read_chunk(stream, table, above("10"));
    ASSERT_TRUE(stream.transaction(202, 30, list(stream.rename("2", "60"))));
    EXPECT_EQ(stream.given(), "d2 C35");
    const auto buffered = stream.dispatcher.take_buffer(reading);
    ASSERT_EQ(buffered.size(), 1u);
    EXPECT_EQ(buffered[0].change.kind(), ChangeKind::insert);
    stream.dispatcher.chunk_loaded(table, reading);
    ASSERT_TRUE(stream.transaction(203, 40, list(stream.rename("60", "3", ""))));
    EXPECT_EQ(stream.given(), "u3 C45") << "both loaded: an update, its values are on the follower";
}

TEST(Dispatcher, ARowThatMustBeCreatedWithoutAllItsValuesIsReadAgain) {
    Stream stream;
    TableInCopy& table = stream.copy_table();
    Chunk& loaded = read_chunk(stream, table, up_to("10"));
    load(stream, table, loaded);
    const std::uint64_t number = loaded.number;
    ASSERT_TRUE(
        stream.transaction(200, 10, list(stream.rename("50", "2", ""), stream.insert("3"))));
    EXPECT_EQ(stream.given(), "F" + std::to_string(number) + " C15");
    EXPECT_EQ(table.barrier, Position{15});
    EXPECT_EQ(table.chunks.holes().size(), 1u);

    Chunk& again = read_chunk(stream, table, up_to("10"));
    load(stream, table, again);
    Chunk& reading = read_chunk(stream, table, above("10"));
    const std::uint64_t given_up = reading.number;
    ASSERT_TRUE(stream.transaction(201, 20, list(stream.rename("2", "60", ""))));
    EXPECT_EQ(table.chunks.find(given_up), nullptr) << "the chunk is opened anew";
    EXPECT_EQ(stream.given(), "d2 C25");
    EXPECT_EQ(stream.dispatcher.buffered_bytes(), 0u);
}

TEST(Dispatcher, ATruncateStartsTheTablesCopyAgain) {
    Stream stream;
    TableInCopy& table = stream.copy_table();
    Chunk& chunk = read_chunk(stream, table, up_to("10"));
    ASSERT_TRUE(stream.transaction(200, 10, list(stream.insert("1"))));
    ASSERT_TRUE(stream.transaction(
        201, 20, list(Change::truncate({&stream.relation}, false), stream.insert("2"))));
    EXPECT_EQ(stream.given(), "C15 T t C25");
    EXPECT_TRUE(table.chunks.chunks().empty());
    EXPECT_EQ(table.barrier, Position{25});
    EXPECT_EQ(stream.dispatcher.buffered_bytes(), 0u);
    (void)chunk;
}

TEST(Dispatcher, ATwinParksWhatItsSnapshotDoesNotSee) {
    Stream stream;
    ASSERT_TRUE(stream.transaction(1, 10, list(stream.insert("1"))));
    stream.dispatcher.park_unseen_by(Snapshot{5, 10, {7}});
    ASSERT_TRUE(stream.transaction(7, 20, list(stream.insert("2"))));
    ASSERT_TRUE(stream.transaction(6, 30, list(stream.insert("3"))));
    ASSERT_TRUE(stream.transaction(12, 40, list(stream.insert("4"))));
    EXPECT_EQ(stream.given(), "i1 C15 K20 i3 C35 K40");
    EXPECT_GT(stream.dispatcher.parked_bytes(), 0u);
    ASSERT_TRUE(stream.dispatcher.release_parked(stream.out));
    EXPECT_EQ(stream.given(), "i2 C25 i4 C45");
    EXPECT_EQ(stream.dispatcher.position(), Position{45});
    EXPECT_EQ(stream.dispatcher.parked_bytes(), 0u);
    ASSERT_TRUE(stream.transaction(13, 50, list(stream.insert("5"))));
    EXPECT_EQ(stream.given(), "i5 C55");
}

Status alter(Stream& stream, std::uint64_t start, bool reshapes = true) {
    Status went = stream.dispatcher.on(TransactionBegin{start, {}, Position{start}}, stream.out);
    SchemaChange change;
    change.what = "ALTER";
    change.tables = {{"public", "t"}};
    change.reshapes_tables = reshapes;
    if (went) went = stream.dispatcher.on(std::move(change), stream.out);
    if (went) went = stream.dispatcher.on(stream.insert("5"), stream.out);
    const TransactionCommit commit{start, Position{start + 5}, {}, false, true};
    return went ? stream.dispatcher.on(commit, stream.out) : went;
}

TEST(Dispatcher, AChangeOfTheSchemaKeepsItsPlaceBetweenTheRows) {
    Stream stream{{Position{20}, {}, {}}};
    ASSERT_TRUE(alter(stream, 10)) << "on the follower already";
    ASSERT_TRUE(alter(stream, 30));
    EXPECT_EQ(stream.given(), "P15 DALTER@30 i5 C35");
    stream.dispatcher.park_unseen_by(Snapshot{1, 1, {}});
    ASSERT_TRUE(alter(stream, 40));
    ASSERT_TRUE(stream.dispatcher.release_parked(stream.out));
    EXPECT_EQ(stream.given(), "K40 DALTER@40 i5 C45");
    stream.dispatcher.set_role(StreamRole::watched, {});
    ASSERT_TRUE(alter(stream, 50));
    EXPECT_EQ(stream.given(), "S P55");
}

// A chunk that was read before, or will be in this run, is of the table as it was.
TEST(Dispatcher, ATableThatIsAlteredWhileItIsCopiedBeginsAgainAndTakesNothingUntilThen) {
    Stream stream;
    TableInCopy& table = stream.copy_table();
    load(stream, table, read_chunk(stream, table, up_to("3")));
    Chunk& open = read_chunk(stream, table, above("3"));
    const std::uint64_t number = open.number;
    ASSERT_TRUE(alter(stream, 110, false));
    EXPECT_EQ(stream.given(), "DALTER@110 C115") << "a comment, say: the row is buffered";
    ASSERT_TRUE(alter(stream, 120));
    EXPECT_EQ(stream.given(), "T DALTER@120 C125");
    EXPECT_EQ(table.chunks.find(number), nullptr);
    EXPECT_EQ(table.barrier, Position{125});
    stream.relation.columns[0].name = "key_with_another_name";
    ASSERT_TRUE(stream.transaction(130, 130, list(stream.insert("1"))));
    EXPECT_EQ(stream.given(), "C135");
}

// The authority had it before the stream told of it: no chunk of it is needed, and none may take or
// drop its rows.
TEST(Dispatcher, ATableThatBeginsInTheStreamIsWholeFromItsFirstRowOn) {
    Stream stream;
    TableInCopy& table = stream.copy_table();
    Chunk& open = read_chunk(stream, table, up_to("9"));
    const std::uint64_t number = open.number;
    const auto begun = TransactionBegin{110, {}, Position{110}};
    ASSERT_TRUE(stream.dispatcher.on(begun, stream.out));
    SchemaChange change;
    change.what = "CREATE";
    change.tables = {{"public", "t"}};
    change.creates_tables = true;
    ASSERT_TRUE(stream.dispatcher.on(std::move(change), stream.out));
    ASSERT_TRUE(stream.dispatcher.on(stream.insert("5"), stream.out));
    ASSERT_TRUE(
        stream.dispatcher.on(TransactionCommit{110, Position{115}, {}, false, true}, stream.out));
    EXPECT_EQ(stream.given(), "DCREATE@110 i5 C115");
    EXPECT_EQ(table.chunks.find(number), nullptr);
    EXPECT_TRUE(table.chunks.complete());
    ASSERT_TRUE(stream.transaction(120, 120, list(stream.rename("5", "6"))));
    EXPECT_EQ(stream.given(), "u6 C125");
}

// What was dropped and is made anew under its name is not the table that was being copied.
TEST(Dispatcher, ATableThatIsDroppedAndMadeAnewWhileItIsCopiedTakesItsRows) {
    Stream stream;
    TableInCopy& table = stream.copy_table();
    load(stream, table, read_chunk(stream, table, up_to("3")));
    ASSERT_TRUE(alter(stream, 110));
    EXPECT_TRUE(table.altered);
    SchemaChange change;
    change.tables = {{"public", "t"}};
    change.creates_tables = true;
    ASSERT_TRUE(stream.dispatcher.on(TransactionBegin{120, {}, Position{120}}, stream.out));
    ASSERT_TRUE(stream.dispatcher.on(std::move(change), stream.out));
    ASSERT_TRUE(stream.dispatcher.on(stream.insert("7"), stream.out));
    ASSERT_TRUE(
        stream.dispatcher.on(TransactionCommit{120, Position{125}, {}, false, true}, stream.out));
    EXPECT_EQ(stream.given(), "T DALTER@110 C115 D@120 i7 C125");
}

// Of a table that is whole on the follower only the command itself is needed.
TEST(Dispatcher, ATableThatIsAlteredAfterItsCopyStays) {
    Stream stream;
    TableInCopy& table = stream.copy_table();
    load(stream, table, read_chunk(stream, table, {}));
    ASSERT_TRUE(alter(stream, 110));
    EXPECT_EQ(stream.given(), "DALTER@110 i5 C115");
    EXPECT_TRUE(table.chunks.complete());
}

}  // namespace
}  // namespace segue::backfill
