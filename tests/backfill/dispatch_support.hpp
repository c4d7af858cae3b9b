#pragma once
// Small streams for tests of what deals with transactions.

#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backfill/chunk.hpp"
#include "backfill/dispatcher.hpp"

namespace segue::test {

// Keys are one number.
class NumberOrder final : public backfill::KeyOrder {
public:
    std::optional<std::weak_ordering> compare(backfill::KeyView a,
                                              backfill::KeyView b) const override {
        const auto left = number(a[0]), right = number(b[0]);
        if (!left || !right) return std::nullopt;
        return *left <=> *right;
    }

private:
    static std::optional<int> number(std::string_view text) {
        int value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
        return value;
    }
};

// Table public.t (id key, body).
class Stream {
public:
    explicit Stream(backfill::Dispatcher::Start start = {}) : dispatcher(std::move(start)) {
        relation.id = 1;
        relation.schema = "public";
        relation.name = "t";
        relation.columns = {{"id", 23, true}, {"body", 25, false}};
    }

    backfill::TableInCopy& copy_table() {
        return dispatcher.add_table(name, {"id"}, std::make_shared<NumberOrder>());
    }
    backfill::Change insert(std::string_view id) const {
        backfill::ChangeBuilder builder{
            relation, backfill::ChangeKind::insert, backfill::OldRow::none, 16};
        builder.add(backfill::CellKind::text, id);
        builder.add(backfill::CellKind::text, "body");
        return builder.take();
    }
    backfill::Change remove(std::string_view id) const {
        backfill::ChangeBuilder builder{
            relation, backfill::ChangeKind::remove, backfill::OldRow::key, 16};
        builder.add(backfill::CellKind::text, id);
        builder.add(backfill::CellKind::null);
        return builder.take();
    }
    // `body` empty: it was left out.
    backfill::Change rename(std::string_view from,
                            std::string_view to,
                            std::string_view body = "new") const {
        backfill::ChangeBuilder builder{
            relation, backfill::ChangeKind::update, backfill::OldRow::key, 16};
        builder.add(backfill::CellKind::text, from);
        builder.add(backfill::CellKind::null);
        builder.add(backfill::CellKind::text, to);
        if (body.empty()) {
            builder.add(backfill::CellKind::unchanged);
        } else {
            builder.add(backfill::CellKind::text, body);
        }
        return builder.take();
    }

    // One transaction; its commit begins at `start` and ends at `start` + 5.
    Status transaction(std::uint64_t xid,
                       std::uint64_t start,
                       std::vector<backfill::Change> changes,
                       bool is_mover = false) {
        Status went = dispatcher.on(backfill::TransactionBegin{xid, {}, Position{start}}, out);
        const bool touches = !changes.empty();
        for (backfill::Change& change : changes) {
            if (went) went = dispatcher.on(std::move(change), out);
        }
        if (went) {
            went = dispatcher.on(
                backfill::TransactionCommit{xid, Position{start + 5}, {}, is_mover, touches}, out);
        }
        return went;
    }

    // What the applier was given, briefly: i(nsert) u(pdate) d(elete) t(runcate) with the key,
    // C<position>, P<position> passed, K<start> parked, S stray, F<number> chunk forgotten, T table
    // forgotten.
    std::string given() {
        std::string text;
        for (const backfill::ApplyItem& item : out) text += (text.empty() ? "" : " ") + brief(item);
        out.clear();
        return text;
    }

    static std::string brief(const backfill::ApplyItem& item) {
        return std::visit(
            Overloaded{
                [](const backfill::Change& change) -> std::string {
                    switch (change.kind()) {
                        case backfill::ChangeKind::insert:
                            return "i" + std::string{change.new_cell(0).text};
                        case backfill::ChangeKind::update:
                            return "u" + std::string{change.new_cell(0).text};
                        case backfill::ChangeKind::remove:
                            return "d" + std::string{change.old_cell(0).text};
                        case backfill::ChangeKind::truncate:
                            return "t";
                    }
                    return "?";
                },
                [](const backfill::CommitDone& v) {
                    return "C" + std::to_string(v.position.value);
                },
                [](const backfill::Passed& v) { return "P" + std::to_string(v.position.value); },
                [](const backfill::ParkedCommit& v) { return "K" + std::to_string(v.start.value); },
                [](const backfill::StrayWrite&) { return std::string{"S"}; },
                [](const backfill::ForgetChunk& v) { return "F" + std::to_string(v.number); },
                [](const backfill::ForgetTable&) { return std::string{"T"}; },
                [](const backfill::SchemaChange& v) {
                    return "D" + v.what + "@" + std::to_string(v.start.value);
                },
            },
            item);
    }

    backfill::Relation relation;
    backfill::TableName name{"public", "t"};
    backfill::Dispatcher dispatcher;
    std::vector<backfill::ApplyItem> out;
};

}  // namespace segue::test
