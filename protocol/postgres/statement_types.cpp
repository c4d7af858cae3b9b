#include "protocol/postgres/statement_types.hpp"

#include <algorithm>
#include <utility>

namespace segue::protocol::postgres {

void StatementTypesBook::know(const std::string& name, SharedTypes statement) {
    if (statements_.size() >= statements_known_max && !statements_.contains(name)) return;
    statements_[name] = std::move(statement);
}

// What a server discards is not awaited.
void StatementTypesBook::await(Awaited request) {
    if (!skipping_) awaited_.push_back(std::move(request));
}

void StatementTypesBook::parse(const std::string& name, SharedTypes statement) {
    if (skipping_) return;
    await({Kind::parse, name, find(name), nullptr});
    know(name, std::move(statement));
}

SharedTypes StatementTypesBook::find(const std::string& name) const {
    const auto found = statements_.find(name);
    return found == statements_.end() ? nullptr : found->second;
}

void StatementTypesBook::bind(const std::string& portal,
                              SharedTypes statement,
                              FormatCodes formats) {
    if (skipping_) return;
    await({Kind::bind, {}, nullptr, nullptr});
    if (portals_.size() >= portals_known_max && !portals_.contains(portal)) return;
    // Of an unknown one the columns may be described yet.
    if (statement == nullptr) statement = std::make_shared<StatementTypes>();
    portals_[portal] =
        std::make_shared<PortalTypes>(PortalTypes{std::move(statement), std::move(formats)});
}

void StatementTypesBook::describe(char kind, const std::string& name) {
    if (kind == 'S') {
        if (find(name) == nullptr) know(name, std::make_shared<StatementTypes>());
        return await({Kind::describe_statement, {}, find(name), nullptr});
    }
    const auto portal = portals_.find(name);
    await(
        {Kind::describe_portal, {}, nullptr, portal == portals_.end() ? nullptr : portal->second});
}

void StatementTypesBook::execute(const std::string& portal) {
    const auto found = portals_.find(portal);
    await({Kind::execute, {}, nullptr, found == portals_.end() ? nullptr : found->second});
}

void StatementTypesBook::close(char kind, const std::string& name) {
    if (kind == 'P' && !skipping_) portals_.erase(name);
    await({Kind::close, kind == 'S' ? name : std::string{}, nullptr, nullptr});
}

void StatementTypesBook::sync() {
    skipping_ = false;
    await({Kind::sync, {}, nullptr, nullptr});
}

void StatementTypesBook::query() { await({Kind::query, {}, nullptr, nullptr}); }

// Whatever answers a later request says that a Sync before it was swallowed.
void StatementTypesBook::drop_swallowed_syncs() {
    while (next_is(Kind::sync)) awaited_.pop_front();
}

void StatementTypesBook::parsed() {
    drop_swallowed_syncs();
    if (next_is(Kind::parse)) awaited_.pop_front();
}

void StatementTypesBook::bound() {
    drop_swallowed_syncs();
    if (next_is(Kind::bind)) awaited_.pop_front();
}

void StatementTypesBook::closed() {
    drop_swallowed_syncs();
    if (!next_is(Kind::close)) return;
    const std::string name = std::move(awaited_.front().name);
    awaited_.pop_front();
    // It may have been prepared again behind the Close.
    const bool again = std::any_of(awaited_.begin(), awaited_.end(), [&](const Awaited& one) {
        return one.kind == Kind::parse && one.name == name;
    });
    if (!name.empty() && !again) statements_.erase(name);
}

void StatementTypesBook::ended() {
    drop_swallowed_syncs();
    query_rows_ = {};
    if (next_is(Kind::execute)) awaited_.pop_front();
}

// Everything up to the next Sync is discarded, Query messages too; but an error of a Query is over
// with itself.
void StatementTypesBook::error() {
    query_rows_ = {};
    if (awaited_.empty() || next_is(Kind::query) || next_is(Kind::sync)) return;
    std::vector<Awaited> discarded;
    while (!awaited_.empty() && !next_is(Kind::sync)) {
        discarded.push_back(std::move(awaited_.front()));
        awaited_.pop_front();
    }
    skipping_ = awaited_.empty();
    // The statements are again what they were, the latest change undone first.
    for (auto one = discarded.rbegin(); one != discarded.rend(); ++one) {
        if (one->kind != Kind::parse) continue;
        if (one->statement == nullptr) {
            statements_.erase(one->name);
        } else {
            statements_[one->name] = std::move(one->statement);
        }
    }
}

void StatementTypesBook::ready(char status) {
    query_rows_ = {};
    while (!awaited_.empty()) {
        const Kind kind = awaited_.front().kind;
        awaited_.pop_front();
        if (kind == Kind::sync || kind == Kind::query) break;
    }
    // Portals end with their transaction.
    if (status == 'I' && awaited_.empty()) portals_.clear();
}

void StatementTypesBook::forget_statements() { statements_.clear(); }

SharedTypes StatementTypesBook::described_parameters() {
    drop_swallowed_syncs();
    return next_is(Kind::describe_statement) ? awaited_.front().statement : nullptr;
}

StatementTypesBook::Described StatementTypesBook::described() {
    drop_swallowed_syncs();
    Described described;
    described.query = next_is(Kind::query);
    if (!next_is(Kind::describe_statement) && !next_is(Kind::describe_portal)) return described;
    described.statement = std::move(awaited_.front().statement);
    described.portal = std::move(awaited_.front().portal);
    if (described.portal != nullptr) described.statement = described.portal->statement;
    awaited_.pop_front();
    return described;
}

const PortalTypes* StatementTypesBook::rows() {
    drop_swallowed_syncs();
    const PortalTypes* rows = next_is(Kind::query)     ? &query_rows_
                              : next_is(Kind::execute) ? awaited_.front().portal.get()
                                                       : nullptr;
    return rows == nullptr || rows->statement == nullptr || rows->statement->columns.empty()
               ? nullptr
               : rows;
}

}  // namespace segue::protocol::postgres
