// Every pair of readings, and every history that a change of authority with crashes can leave.

#include "router/recovery.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocol/result.hpp"

namespace segue::router {
namespace {

std::vector<Reading> every_reading() {
    std::vector<Reading> readings = {Unreadable{}, Absent{}};
    for (const std::uint64_t epoch : {0u, 1u, 2u, 3u}) {
        for (const Side authority : {Side::source, Side::target}) {
            for (const Phase phase :
                 {Phase::steady, Phase::switching, Phase::deciding, Phase::finished}) {
                for (const bool changed : {false, true})
                    readings.push_back(SideRecord{epoch, authority, phase, changed});
            }
        }
    }
    return readings;
}

std::string kind(const Recovery& recovery) {
    return std::visit(Overloaded{
                          [](const NoMigration&) -> std::string { return "none"; },
                          [](const Serve& serve) -> std::string {
                              return std::string{serve.finished ? "finished " : "serve "} +
                                     std::string{name(serve.side)} + " " +
                                     std::to_string(serve.epoch);
                          },
                          [](const HoldAndRetry&) -> std::string { return "hold"; },
                          [](const UndoIntent& undo) -> std::string {
                              return "undo " + std::string{name(undo.old_side)};
                          },
                          [](const AbortEpochFirst& abort) -> std::string {
                              return "abort " + std::string{name(abort.old_side)};
                          },
                          [](const GoForward& forward) -> std::string {
                              return "forward " + std::string{name(forward.new_side)};
                          },
                          [](const Refuse&) -> std::string { return "refuse"; },
                      },
                      recovery);
}

Reading swapped(const Reading& reading) {
    Reading result = reading;
    if (auto* record = std::get_if<SideRecord>(&result))
        record->authority = other(record->authority);
    return result;
}

constexpr SideRecord steady(std::uint64_t epoch, Side authority) {
    return {epoch, authority, Phase::steady, false};
}
constexpr SideRecord switching(std::uint64_t epoch, Side authority) {
    return {epoch, authority, Phase::switching, false};
}
constexpr SideRecord deciding(std::uint64_t epoch, Side authority) {
    return {epoch, authority, Phase::deciding, false};
}

TEST(Recovery, ServesOnlyTheSideThatARecordNamesAndNeverThroughAnOpenIntent) {
    for (const Reading& source : every_reading()) {
        for (const Reading& target : every_reading()) {
            const Recovery recovery = recover(source, target);
            const auto* serve = std::get_if<Serve>(&recovery);
            if (serve == nullptr) continue;
            SCOPED_TRACE(kind(recovery));
            bool named = false;
            std::uint64_t epoch_max = 0;
            for (const Reading* reading : {&source, &target}) {
                const auto* record = std::get_if<SideRecord>(reading);
                if (record == nullptr) continue;
                epoch_max = std::max(epoch_max, record->epoch);
                if (record->authority == serve->side && record->epoch == serve->epoch) named = true;
                if (!serve->finished) {
                    EXPECT_NE(record->phase, Phase::switching);
                    EXPECT_NE(record->phase, Phase::deciding);
                }
            }
            EXPECT_TRUE(named);
            if (serve->finished) continue;
            const auto* own =
                std::get_if<SideRecord>(serve->side == Side::source ? &source : &target);
            ASSERT_NE(own, nullptr);  // The authority's own record, not hearsay.
            EXPECT_EQ(own->authority, serve->side);
            const auto* second =
                std::get_if<SideRecord>(serve->side == Side::source ? &target : &source);
            if (second != nullptr && second->authority != serve->side) {
                EXPECT_LT(second->epoch, own->epoch);
            }
        }
    }
}

TEST(Recovery, IsTheSameForBothDirectionsOnceARecordExists) {
    for (const Reading& source : every_reading()) {
        for (const Reading& target : every_reading()) {
            if (std::holds_alternative<Absent>(source) || std::holds_alternative<Absent>(target))
                continue;
            std::string mirrored = kind(recover(swapped(target), swapped(source)));
            const auto flip = [&](const std::string& from, const std::string& to) {
                const auto at = mirrored.find(from);
                if (at == std::string::npos) return false;
                mirrored.replace(at, from.size(), to);
                return true;
            };
            if (!flip("source", "target")) flip("target", "source");
            EXPECT_EQ(kind(recover(source, target)), mirrored);
        }
    }
}

TEST(Recovery, TakesNoDecisionAboutADecidingSideWithoutTheOtherSidesRecord) {
    for (const std::uint64_t epoch : {1u, 2u}) {
        EXPECT_EQ(kind(recover(deciding(epoch, Side::source), Unreadable{})), "hold");
        EXPECT_EQ(kind(recover(Unreadable{}, deciding(epoch, Side::target))), "hold");
        EXPECT_EQ(kind(recover(deciding(epoch, Side::source), Absent{})), "refuse");
    }
}

TEST(Recovery, DoesNotBelieveAServerThatIsNotTheRecordedOneAlone) {
    SideRecord promoted = steady(4, Side::source);
    promoted.identity_changed = true;
    EXPECT_EQ(kind(recover(promoted, Unreadable{})), "hold");
    EXPECT_EQ(kind(recover(promoted, steady(4, Side::source))), "serve source 4");
    EXPECT_EQ(kind(recover(promoted, steady(5, Side::target))), "serve target 5");
}

// The life of one change from source to target, epoch 4 to 5, cut after every step; both, one or no
// answer of the sides.
struct Moment {
    const char* after;
    SideRecord source, target;
    const char* both;
    const char* source_only;
    const char* target_only;
};

TEST(Recovery, KnowsWhatToDoAfterEveryStepOfAChange) {
    const Moment moments[] = {
        {"nothing",
         steady(4, Side::source),
         steady(4, Side::source),
         "serve source 4",
         "serve source 4",
         "hold"},
        {"intent",
         switching(5, Side::source),
         steady(4, Side::source),
         "undo source",
         "undo source",
         "hold"},
        {"deciding",
         deciding(5, Side::source),
         steady(4, Side::source),
         "abort source",
         "hold",
         "hold"},
        {"aborted",
         deciding(5, Side::source),
         steady(5, Side::source),
         "undo source",
         "hold",
         "hold"},
        {"undone",
         steady(5, Side::source),
         steady(5, Side::source),
         "serve source 5",
         "serve source 5",
         "hold"},
        {"undone early",
         steady(5, Side::source),
         steady(4, Side::source),
         "serve source 5",
         "serve source 5",
         "hold"},
        {"commit",
         deciding(5, Side::source),
         steady(5, Side::target),
         "forward target",
         "hold",
         "serve target 5"},
        {"steady",
         steady(5, Side::target),
         steady(5, Side::target),
         "serve target 5",
         "hold",
         "serve target 5"},
        {"way back",
         steady(5, Side::target),
         switching(6, Side::target),
         "undo target",
         "hold",
         "undo target"},
        {"back decided",
         steady(5, Side::target),
         deciding(6, Side::target),
         "abort target",
         "hold",
         "hold"},
        {"back",
         steady(6, Side::source),
         deciding(6, Side::target),
         "forward source",
         "serve source 6",
         "hold"},
    };
    for (const Moment& moment : moments) {
        SCOPED_TRACE(moment.after);
        EXPECT_EQ(kind(recover(moment.source, moment.target)), moment.both);
        EXPECT_EQ(kind(recover(moment.source, Unreadable{})), moment.source_only);
        EXPECT_EQ(kind(recover(Unreadable{}, moment.target)), moment.target_only);
        EXPECT_EQ(kind(recover(Unreadable{}, Unreadable{})), "hold");
    }
}

TEST(Recovery, WithoutAnyRecordIsAPlainProxyToTheSource) {
    EXPECT_EQ(kind(recover(Absent{}, Absent{})), "none");
    EXPECT_EQ(kind(recover(Absent{}, Unreadable{})), "none");
    EXPECT_EQ(kind(recover(Unreadable{}, Absent{})), "hold");
    EXPECT_EQ(kind(recover(steady(0, Side::source), Absent{})), "serve source 0");
    EXPECT_EQ(kind(recover(Absent{}, steady(2, Side::source))), "refuse");
}

TEST(Recovery, BelievesATombstoneAlone) {
    const SideRecord tombstone{7, Side::target, Phase::finished, false};
    EXPECT_EQ(kind(recover(Unreadable{}, tombstone)), "finished target 7");
    EXPECT_EQ(kind(recover(tombstone, Unreadable{})), "finished target 7");
    EXPECT_EQ(kind(recover(tombstone, Absent{})), "finished target 7");
    EXPECT_EQ(kind(recover(tombstone, steady(7, Side::target))), "finished target 7");
    EXPECT_EQ(kind(recover(tombstone, steady(8, Side::source))), "refuse");
}

TEST(Recovery, PrefersTheLaterEpochWhenTheLostSideComesBackAfterAForcedRollback) {
    EXPECT_EQ(kind(recover(steady(1005, Side::source), steady(5, Side::target))),
              "serve source 1005");
    EXPECT_EQ(kind(recover(steady(5, Side::source), steady(5, Side::target))), "refuse");
}

}  // namespace
}  // namespace segue::router
