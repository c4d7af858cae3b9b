// Any bytes as the answers to a probe, a check of the statements, a resolve and a restore; whatever
// state comes out can be restored or is refused.

#include "protocol/postgres/described_statements.hpp"
#include "protocol/postgres/session_state.hpp"
#include "protocol/postgres/statement_check.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "1\0\0\0\x04"
        "2\0\0\0\x04"
        "D\0\0\0\x1d\0\x03\0\0\0\x07setting\0\0\0\x01"
        "a\0\0\0\x01"
        "bC\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"sv,
        "E\0\0\0\x15SERROR\0C42501\0\0Z\0\0\0\x05I"sv,
        "A\0\0\0\x0d\0\0\0\x01"
        "c\0p\0S\0\0\0\x0aa\0b\0Z\0\0\0\x05I"sv,
        "Z\0\0\0\x05T"sv,
        "D\0\0\0\x25\0\x05\0\0\0\x05value\0\0\0\x01q\0\0\0\x01"
        "1\xff\xff\xff\xff\0\0\0\x04nameH\0\0\0\x07\0\0\0d\0\0\0\x08"
        "5\tt\nc\0\0\0\x04Z\0\0\0\x05I"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes reply = bytes(fuzz::text_of(data, size));
    const StateHints hints;
    SessionState state;
    const auto probed = parse_probe_reply(reply, hints);
    if (const auto* need = std::get_if<NeedMore>(&probed)) fuzz::require(need->size_min > size);
    if (const auto* known = std::get_if<SessionState>(&probed)) state = *known;
    fuzz::require(is_equal(state, state));
    fuzz::require(messages_for_client(reply).size() <= size);

    const auto resolved = parse_resolve_reply(reply, state);
    const auto* oids = std::get_if<TypeOids>(&resolved);
    const auto request = restore_request(state, oids != nullptr ? *oids : TypeOids{});
    if (!request) fuzz::require(!request.error().detail.empty());
    (void)resolve_request(state);
    const auto restored = check_restore_reply(reply);
    if (const auto* need = std::get_if<NeedMore>(&restored)) fuzz::require(need->size_min > size);
    const std::size_t all = descriptions_of(state);
    const auto described = parse_describe_reply(reply, state, 0, all);
    if (const auto* need = std::get_if<NeedMore>(&described)) fuzz::require(need->size_min > size);
    if (const auto* told = std::get_if<DescribedStatements>(&described))
        fuzz::require(told->size() == all);
    (void)describe_request(state, 0, all);

    const auto found = parse_temporary_tables_reply(reply);
    if (const auto* need = std::get_if<NeedMore>(&found)) fuzz::require(need->size_min > size);
    if (const auto* tables = std::get_if<TemporaryTablesFound>(&found))
        state.temporary = temporary_tables(tables->steps);
    const auto filled = parse_contents_reply(reply, state.temporary.steps);
    if (const auto* steps = std::get_if<std::vector<CarryStep>>(&filled))
        state.temporary = temporary_tables(*steps);
    (void)parse_sizes_reply(reply);
    (void)parse_on_commit_reply(reply);
    (void)restore_request(state, {});

    const std::size_t checks = checks_of(state);
    (void)statement_check_request(state, 0, checks);
    const auto checked = parse_statement_check_reply(reply, checks);
    if (const auto* need = std::get_if<NeedMore>(&checked)) fuzz::require(need->size_min > size);
    const auto* unusable = std::get_if<std::vector<bool>>(&checked);
    if (unusable == nullptr) return 0;
    fuzz::require(unusable->size() == checks);
    put_off_unusable(state, *unusable);
    fuzz::require(checks_of(state) <= checks);
    return 0;
}
