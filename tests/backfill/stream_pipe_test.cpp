#include "backfill/stream_pipe.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "tests/backfill/dispatch_support.hpp"

namespace segue::backfill {
namespace {

using namespace std::chrono_literals;

StreamEvent begin(std::uint64_t start) { return TransactionBegin{start, {}, Position{start}}; }
StreamEvent commit(std::uint64_t start) {
    return TransactionCommit{start, Position{start + 5}, {}, false, false};
}

bool feed(StreamPipe& pipe, StreamEvent event) {
    const auto fed = pipe.feed(event);
    return fed && *fed;
}

TEST(StreamPipe, AHoldBeginsAtAnEdgeAndKeepsTheNextTransactionOut) {
    StreamPipe pipe{Dispatcher::Start{}};
    ASSERT_TRUE(feed(pipe, begin(10)));
    ASSERT_TRUE(*pipe.try_hold(0ms));
    EXPECT_FALSE(*pipe.wait_boundary(0ms)) << "inside a transaction";
    ASSERT_TRUE(feed(pipe, commit(10)));
    EXPECT_TRUE(*pipe.wait_boundary(0ms));
    EXPECT_FALSE(feed(pipe, begin(20)));
    EXPECT_FALSE(feed(pipe, Advance{Position{50}}));
    EXPECT_FALSE(*pipe.try_hold(0ms)) << "one owner at a time";
    pipe.release_hold();
    EXPECT_TRUE(feed(pipe, begin(20)));
}

// Between a look for holes and the opening of a chunk a table may become whole.
TEST(StreamPipe, OpensNoChunkWhereThereIsNoHoleAnyMore) {
    StreamPipe pipe{Dispatcher::Start{}};
    const TableName name{"app", "t"};
    pipe.set_up([&](Dispatcher& dispatcher) { return &dispatcher.add_table(name, {}, nullptr); });
    ASSERT_EQ(pipe.holes(name).size(), 1u);
    ASSERT_TRUE(pipe.open_chunk(name, {}));
    const auto again = pipe.open_chunk(name, {});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::refused);
}

// Its columns are others than those that this run would copy.
TEST(StreamPipe, LeavesATableThatWasAlteredToTheNextRunAndGoesOnWithTheOthers) {
    StreamPipe pipe{Dispatcher::Start{}};
    const TableName altered{"app", "altered"}, other{"app", "other"};
    for (const TableName& name : {altered, other}) {
        pipe.set_up(
            [&](Dispatcher& dispatcher) { return &dispatcher.add_table(name, {}, nullptr); });
    }
    const auto opened = pipe.open_chunk(altered, {});
    ASSERT_TRUE(opened);
    SchemaChange change;
    change.tables = {{altered.first, altered.second}};
    change.reshapes_tables = true;
    ASSERT_TRUE(feed(pipe, begin(10)));
    ASSERT_TRUE(feed(pipe, std::move(change)));
    ASSERT_TRUE(feed(pipe, commit(10)));
    EXPECT_FALSE(pipe.chunk_lives(opened->name));
    EXPECT_TRUE(pipe.holes(altered).empty());
    EXPECT_FALSE(pipe.open_chunk(altered, {}));
    EXPECT_FALSE(pipe.is_whole(altered));
    EXPECT_FALSE(pipe.all_loaded_but_altered());

    const auto rest = pipe.open_chunk(other, {});
    ASSERT_TRUE(rest);
    ASSERT_TRUE(pipe.chunk_read(rest->name, Snapshot{}));
    ASSERT_TRUE(*pipe.try_hold(0ms));
    ASSERT_TRUE(pipe.chunk_loaded(rest->name));
    pipe.release_hold();
    EXPECT_TRUE(pipe.is_whole(other));
    EXPECT_TRUE(pipe.all_loaded_but_altered());
    EXPECT_FALSE(pipe.all_loaded());
}

TEST(StreamPipe, DrainedMeansThatEverythingDispatchedIsDurable) {
    StreamPipe pipe{Dispatcher::Start{}};
    ASSERT_TRUE(feed(pipe, begin(10)));
    ASSERT_TRUE(feed(pipe, commit(10)));
    EXPECT_FALSE(*pipe.wait_drained(0ms));
    std::vector<ApplyItem> items;
    ASSERT_TRUE(pipe.take(items, 0ms));
    ASSERT_EQ(items.size(), 1u);
    EXPECT_FALSE(*pipe.wait_drained(0ms)) << "taken is not durable";
    EXPECT_TRUE(pipe.oldest_pending());
    pipe.finished(1, item_memory(items[0]), Position{15});
    EXPECT_TRUE(*pipe.wait_drained(0ms));
    EXPECT_FALSE(pipe.oldest_pending());
}

TEST(StreamPipe, ATransactionBiggerThanTheQueueGoesOnOnceItsBeginningIsHeldNoMore) {
    StreamPipe pipe{Dispatcher::Start{}};
    ASSERT_TRUE(feed(pipe, begin(10)));
    const test::Stream stream;
    const auto change = [&] { return StreamEvent{stream.insert(std::string(1u << 20, '1'))}; };
    std::size_t fed = 0;
    while (fed < 200 && feed(pipe, change())) ++fed;
    ASSERT_LT(fed, 200u) << "the queue has a limit";
    std::vector<ApplyItem> items;
    ASSERT_TRUE(pipe.take(items, 0ms));
    EXPECT_FALSE(feed(pipe, change())) << "taken is held as well";
    std::size_t bytes = 0;
    for (const ApplyItem& item : items) bytes += item_memory(item);
    pipe.freed(bytes);
    EXPECT_TRUE(feed(pipe, change()));
}

TEST(StreamPipe, AligningGoesUpToItsPositionAndReleasesWhatWasParked) {
    StreamPipe pipe{Dispatcher::Start{}};
    ASSERT_TRUE(feed(pipe, Advance{Position{5}}));
    ASSERT_TRUE(*pipe.try_hold(0ms));
    pipe.align(Snapshot{15, 15, {}}, Position{30});
    EXPECT_FALSE(*pipe.wait_aligned(0ms));
    ASSERT_TRUE(feed(pipe, begin(20)));  // Id 20: the snapshot does not see it.
    ASSERT_TRUE(feed(pipe, commit(20)));
    ASSERT_TRUE(feed(pipe, Advance{Position{30}}));
    EXPECT_TRUE(*pipe.wait_aligned(0ms));
    EXPECT_FALSE(feed(pipe, begin(40))) << "not beyond what was asked for";
    std::vector<ApplyItem> items;
    ASSERT_TRUE(pipe.take(items, 0ms));
    EXPECT_EQ(test::Stream::brief(items.back()), "P30");
    pipe.release_hold();
    items.clear();
    ASSERT_TRUE(pipe.take(items, 0ms));
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(test::Stream::brief(items[0]), "C25");
}

TEST(StreamPipe, NothingIsOpenedBeforeWhatComesAgainIsOver) {
    StreamPipe pipe{Dispatcher::Start{Position{100}, {}, {}}};
    ASSERT_TRUE(*pipe.try_hold(0ms));
    EXPECT_FALSE(*pipe.wait_boundary(0ms));
    EXPECT_TRUE(feed(pipe, begin(50))) << "a hold waits for it";
    ASSERT_TRUE(feed(pipe, commit(50)));
    ASSERT_TRUE(feed(pipe, Advance{Position{100}}));
    EXPECT_TRUE(*pipe.wait_boundary(0ms));
    EXPECT_FALSE(feed(pipe, begin(110)));
}

TEST(StreamPipe, AFailureEndsEveryWaitAndTheFirstReasonStays) {
    StreamPipe pipe{Dispatcher::Start{}};
    std::thread waiter{[&] { EXPECT_FALSE(pipe.wait_for_position(Position{1000}, 1min)); }};
    pipe.fail(Error{Errc::closed, "first"});
    pipe.fail(Error{Errc::closed, "second"});
    waiter.join();
    EXPECT_EQ(pipe.failure()->detail, "first");
    std::vector<ApplyItem> items;
    EXPECT_FALSE(pipe.take(items, 1min));
    StreamEvent event = begin(10);
    EXPECT_FALSE(pipe.feed(event));
    EXPECT_FALSE(pipe.try_hold(1min));
}

}  // namespace
}  // namespace segue::backfill
