#pragma once
// A read whose two answers looked different is asked again on both sides in one proven-equal pair
// of snapshots: only what differs there is a difference.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backfill/mover.hpp"
#include "proxy/reads.hpp"
#include "proxy/transport.hpp"

namespace segue::proxy {

struct ShadowJob;

using OpenTwin = std::function<Result<std::unique_ptr<backfill::Twin>>(
    const std::string& role, std::chrono::steady_clock::time_point)>;

// Beyond it the one whose time is over first is asked again.
inline constexpr std::size_t asked_lately_max = 1000;

enum class FollowUp : std::uint8_t { none, tables };

struct Confirmation {
    Comparison outcome = Comparison::unconfirmed;
    // Where it differs, or was more than could be asked again: what it reads. Empty as well where
    // that is not known, or not to be followed up.
    std::optional<SuspectedRead> suspected;
};

// Which of the suspected reads are followed up: every one that differs, and one that is only too
// much to be asked again while a table of it was not looked at, since that would never end.
// Thread-safe.
class FollowedUp {
public:
    bool take(Side authority, Comparison outcome, const backfill::ReadTables& read);

private:
    using Name = backfill::Verification::TableName;
    std::mutex mutex_;
    Side authority_ = Side::source;
    std::set<Name> looked_at_;  // For the sake of reads that were too much.
};

// Statements whose difference was confirmed a moment ago, or was sought for long: for that time
// they are not asked again, or one that differs at each execution would keep the comparing from all
// others. Thread-safe.
class AskedLately {
public:
    using Clock = std::chrono::steady_clock;

    bool contains(const std::string& statement, Clock::time_point now) const;
    void add(const std::string& statement, Clock::time_point now, Clock::time_point until);

private:
    mutable std::mutex mutex_;
    std::map<std::string, Clock::time_point> until_;  // At most asked_lately_max.
};

// `follower`: the connection of the session's kind, idle, which tells the settings in force. Both
// sides are asked with no more than the rights of the session's role. Never `equal`: what cannot be
// shown to differ, or only with more rights, is unconfirmed.
Confirmation confirm(const ShadowJob& job,
                     bool order_defined,
                     Transport& follower,
                     const OpenTwin& open_twin,
                     FollowUp follow_up = FollowUp::none);

// The parameters of a request as text. Empty when one is binary and of a type that is not known
// here.
std::optional<std::vector<std::optional<std::string>>> text_parameters(std::string_view parse,
                                                                       std::string_view request);

// OIDs of the types that the client has said its parameters have; 0 and missing ones: the server
// infers them.
std::vector<std::uint32_t> parameter_types(std::string_view parse, std::string_view request);

using TwinRows = std::vector<backfill::Twin::Row>;

// Floating point numbers may differ in their last digits, rows may change places where no order is
// defined.
bool rows_differ(TwinRows authority,
                 TwinRows follower,
                 bool order_defined,
                 const std::vector<std::uint32_t>& types);

// Whether equal values of these types cannot be told apart, so that sorted rows have one order
// only.
bool types_sort_exactly(const std::vector<std::uint32_t>& types);

}  // namespace segue::proxy
