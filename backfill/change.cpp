#include "backfill/change.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <utility>

namespace segue::backfill {

namespace {

// The header of a block: one entry a cell. Sizes above these are kinds without a text.
struct Entry {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
};
constexpr std::uint32_t null_size = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t unchanged_size = null_size - 1;
constexpr std::size_t block_size_max = std::size_t{1} << 31;

Entry read_entry(const std::string& block, std::size_t index) {
    Entry entry;
    std::memcpy(&entry, block.data() + index * sizeof(Entry), sizeof entry);
    return entry;
}

bool below(const Relation* relation, std::uint32_t id) { return relation->id < id; }

}  // namespace

const Relation* RelationTable::remember(Relation relation) {
    const auto place = std::lower_bound(latest_.begin(), latest_.end(), relation.id, below);
    const bool known = place != latest_.end() && (*place)->id == relation.id;
    if (known && **place == relation) return *place;
    if (relations_.size() >= relations_max) return nullptr;

    const Relation* kept = &relations_.emplace_back(std::move(relation));
    if (known) {
        *place = kept;
    } else {
        latest_.insert(place, kept);
    }
    return kept;
}

const Relation* RelationTable::find(std::uint32_t id) const {
    const auto place = std::lower_bound(latest_.begin(), latest_.end(), id, below);
    return place != latest_.end() && (*place)->id == id ? *place : nullptr;
}

Cell Change::cell(std::size_t index) const {
    const Entry entry = read_entry(block_, index);
    if (entry.size == null_size) return Cell{CellKind::null, {}};
    if (entry.size == unchanged_size) return Cell{CellKind::unchanged, {}};
    return Cell{CellKind::text, std::string_view{block_}.substr(entry.offset, entry.size)};
}

Cell Change::old_cell(std::size_t column) const {
    assert(column < old_size_);
    return cell(column);
}

Cell Change::new_cell(std::size_t column) const {
    assert(column < new_size_ && kind_ != ChangeKind::truncate);
    return cell(old_size_ + column);
}

Cell Change::key_cell(std::size_t column) const {
    return old_row_ == OldRow::none ? new_cell(column) : old_cell(column);
}

const Relation& Change::truncated(std::size_t i) const {
    assert(i < truncated_size());
    const Relation* relation = nullptr;
    std::memcpy(&relation, block_.data() + i * sizeof relation, sizeof relation);
    return *relation;
}

Change Change::truncate(const std::vector<const Relation*>& relations, bool restart_identity) {
    assert(!relations.empty());
    Change change;
    change.kind_ = ChangeKind::truncate;
    change.relation_ = relations.front();
    change.new_size_ = static_cast<std::uint32_t>(relations.size());
    change.restart_identity_ = restart_identity;
    change.block_.assign(reinterpret_cast<const char*>(relations.data()),
                         relations.size() * sizeof(const Relation*));
    return change;
}

ChangeBuilder::ChangeBuilder(const Relation& relation,
                             ChangeKind kind,
                             OldRow old_row,
                             std::size_t text_size_estimate) {
    assert(kind != ChangeKind::truncate);
    assert(kind != ChangeKind::remove || old_row != OldRow::none);
    assert(kind != ChangeKind::insert || old_row == OldRow::none);
    const std::size_t columns = relation.columns.size();
    assert(columns <= std::numeric_limits<std::uint16_t>::max());
    change_.relation_ = &relation;
    change_.kind_ = kind;
    change_.old_row_ = old_row;
    change_.old_size_ = static_cast<std::uint16_t>(old_row == OldRow::none ? 0 : columns);
    change_.new_size_ = static_cast<std::uint32_t>(kind == ChangeKind::remove ? 0 : columns);
    const std::size_t cells = std::size_t{change_.old_size_} + change_.new_size_;
    change_.block_.reserve(cells * (sizeof(Entry) + 1) + text_size_estimate);
    change_.block_.resize(cells * sizeof(Entry));
}

void ChangeBuilder::add(CellKind kind, std::string_view text) {
    assert(!complete());
    std::string& block = change_.block_;
    Entry entry;
    switch (kind) {
        case CellKind::null:
            entry.size = null_size;
            break;
        case CellKind::unchanged:
            entry.size = unchanged_size;
            change_.has_unchanged_ = true;
            break;
        case CellKind::text:
            assert(block.size() + text.size() < block_size_max);
            entry.offset = static_cast<std::uint32_t>(block.size());
            entry.size = static_cast<std::uint32_t>(text.size());
            block.append(text);
            block.push_back('\0');
            break;
    }
    std::memcpy(block.data() + next_ * sizeof(Entry), &entry, sizeof entry);
    ++next_;
}

Change ChangeBuilder::take() {
    assert(complete());
    return std::move(change_);
}

std::size_t SchemaChange::memory() const {
    std::size_t bytes = sizeof(SchemaChange);
    for (const std::string& field : record) bytes += sizeof(std::string) + field.capacity();
    for (const TableId& table : tables)
        bytes += sizeof(TableId) + table.schema.capacity() + table.name.capacity();
    return bytes;
}

}  // namespace segue::backfill
