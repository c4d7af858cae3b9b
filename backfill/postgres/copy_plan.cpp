#include "backfill/postgres/copy_plan.hpp"

#include <algorithm>

#include "backfill/postgres/row_writer.hpp"
#include "protocol/postgres/key_order.hpp"

namespace segue::backfill::postgres {

namespace {

class ServerKeyOrder final : public KeyOrder {
public:
    explicit ServerKeyOrder(std::vector<protocol::postgres::KeyComparer> comparers)
        : comparers_(std::move(comparers)) {}
    std::optional<std::weak_ordering> compare(KeyView a, KeyView b) const override {
        return protocol::postgres::compare_keys(comparers_, a, b);
    }

private:
    std::vector<protocol::postgres::KeyComparer> comparers_;
};

}  // namespace

std::shared_ptr<const KeyOrder> key_order(const Table& table, bool cut_before) {
    if (table.key.empty()) return nullptr;
    if (table.bytes < small_table_bytes && !cut_before) return nullptr;
    std::vector<protocol::postgres::KeyComparer> comparers;
    for (const int key : table.key) {
        const Column& column = table.columns[static_cast<std::size_t>(key)];
        const auto comparer = protocol::postgres::key_comparer(column.type_oid, column.collation_c);
        if (!comparer) return nullptr;
        comparers.push_back(*comparer);
    }
    return std::make_shared<ServerKeyOrder>(std::move(comparers));
}

std::vector<std::string> key_column_names(const Table& table) {
    std::vector<std::string> names;
    for (const int key : table.key)
        names.push_back(table.columns[static_cast<std::size_t>(key)].name);
    return names;
}

CopyPlan::CopyPlan(std::vector<Table> tables) : tables_(std::move(tables)) {
    std::stable_sort(tables_.begin(), tables_.end(), [](const Table& a, const Table& b) {
        return a.bytes > b.bytes;
    });
    chunk_rows_.assign(tables_.size(), chunk_rows_first);
}

Result<std::optional<Key>> CopyPlan::bound(Connection& authority,
                                           const Table& table,
                                           const ChunkRange& hole,
                                           std::uint64_t rows) {
    std::string columns, order;
    for (const std::string& name : key_column_names(table)) {
        columns += (columns.empty() ? "" : ", ") + quote_identifier(name) + "::text";
        order += (order.empty() ? "" : ", ") + quote_identifier(name);
    }
    const auto found =
        authority.execute("SELECT " + columns + " FROM ONLY " + table.qualified_name() + " WHERE " +
                          range_condition(table, hole) + " ORDER BY " + order + " OFFSET " +
                          std::to_string(rows - 1) + " LIMIT 1");
    if (!found) return found.error();
    if (found->size() == 0) return hole.high;
    Key key;
    for (std::size_t i = 0; i < table.key.size(); ++i)
        key.push_back(found->text(0, static_cast<int>(i)));
    return std::optional<Key>{std::move(key)};
}

Result<std::optional<CopyPlan::Work>> CopyPlan::next(Connection& authority, StreamPipe& pipe) {
    // One worker plans at a time: two would cut the same hole.
    const std::lock_guard lock{mutex_};
    for (std::size_t i = 0; i < tables_.size(); ++i) {
        const Table& table = tables_[i];
        const TableName name{table.schema, table.name};
        const auto holes = pipe.holes(name);
        if (holes.empty()) continue;
        ChunkRange range = holes.front();
        const bool ordered = pipe.with_dispatcher([&](const Dispatcher& dispatcher) {
            const auto at = dispatcher.tables().find(name);
            return at != dispatcher.tables().end() && at->second.chunks.has_order();
        });
        if (ordered) {
            auto high = bound(authority, table, range, chunk_rows_[i]);
            if (!high) return high.error();
            range.high = std::move(*high);
        }
        auto opened = pipe.open_chunk(name, range);
        if (!opened) return opened.error();
        return std::optional<Work>{Work{&table, std::move(range), std::move(*opened)}};
    }
    return std::optional<Work>{};
}

void CopyPlan::took(const Table& table,
                    std::uint64_t rows,
                    std::chrono::steady_clock::duration time) {
    const std::lock_guard lock{mutex_};
    const auto at = static_cast<std::size_t>(&table - tables_.data());
    const double ratio =
        std::chrono::duration<double>(chunk_time) /
        std::max<std::chrono::duration<double>>(time, std::chrono::milliseconds{1});
    // Rows differ in size along a table: at most double or half from one chunk to the next.
    const double next =
        static_cast<double>(std::max(rows, chunk_rows_min)) * std::clamp(ratio, 0.5, 2.0);
    chunk_rows_[at] = std::clamp(static_cast<std::uint64_t>(next), chunk_rows_min, chunk_rows_max);
}

}  // namespace segue::backfill::postgres
