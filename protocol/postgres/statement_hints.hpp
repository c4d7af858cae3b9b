#pragma once
// The blind spots of asking a session for its state (DESIGN 4): what the server cannot tell
// afterwards is learned from Query and Parse bodies as they pass. A cheap scan for a few words; it
// may see too much (a word in a literal), never too little.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/postgres/boundary.hpp"

namespace segue::protocol::postgres {

class StateHints {
public:
    // Beyond it: unnamed_too_large(), a pin. The statement of an INSERT with as many parameters as
    // the protocol has room for is smaller.
    static constexpr std::size_t unnamed_parse_size_max = 768u << 10;
    static constexpr std::size_t custom_settings_max =
        64;  // Beyond it: custom_settings_opaque(), a pin.
    static constexpr std::size_t custom_name_size_max = 128;
    // Of a message in several pieces; then scanned in overlapping parts.
    static constexpr std::size_t pending_size_max = unnamed_parse_size_max;

    // Called with every piece that Boundary::client visits; looks at Query and Parse, ignores the
    // others.
    void see(const Piece& piece);
    // A whole statement's text at once (what `see` does with each Query).
    void scan(std::string_view statement);

    // Names of custom settings ("my.tenant") that this session may have set, or has read; lower
    // case, each once.
    const std::vector<std::string>& custom_settings() const { return custom_settings_; }
    // A custom setting may exist whose name we do not know: set_config with a computed name for the
    // session, or too many names.
    bool custom_settings_opaque() const { return custom_opaque_; }
    // Further names, known from elsewhere, in lower case; not limited.
    void also_ask_for(const std::vector<std::string>& names);

    // The whole last unnamed Parse message (tag, length, body) that a later Bind may still use;
    // empty when none.
    const std::string& unnamed_parse() const { return unnamed_; }
    // The same message in other words.
    void replace_unnamed(std::string message) { unnamed_ = std::move(message); }
    bool unnamed_too_large() const { return unnamed_too_large_; }

    // Raised with every statement that names currval or lastval: who wants the grace pin compares
    // over time.
    std::uint32_t sequence_uses() const { return sequence_uses_; }
    // A named statement names them: its Executes cannot be seen here.
    bool sequence_use_prepared() const { return sequence_use_prepared_; }
    bool advisory_used() const { return advisory_used_; }
    // application_name may be another one than at login.
    bool application_named() const { return application_named_; }

private:
    void finish(char tag, std::string_view body);
    void remember_unnamed(std::string_view body);
    void learn(std::string name);
    void after_set(std::string_view rest);
    void after_set_config(std::string_view rest);
    void after_current_setting(std::string_view rest);

    std::vector<std::string> custom_settings_;
    std::string unnamed_;
    std::string pending_;  // The pieces so far of a message that is split.
    std::uint32_t sequence_uses_ = 0;
    bool pending_cut_ = false;
    bool pending_named_ = false;
    bool custom_opaque_ = false;
    bool unnamed_too_large_ = false;
    bool sequence_use_prepared_ = false;
    bool advisory_used_ = false;
    bool application_named_ = false;
};

}  // namespace segue::protocol::postgres
