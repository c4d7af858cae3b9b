#include "proxy/type_map.hpp"

#include <string>
#include <utility>

#include "backfill/postgres/type_catalog.hpp"
#include "proxy/catalog_connection.hpp"

namespace segue::proxy {

using protocol::postgres::TypeIds;
using protocol::postgres::TypeTranslator;

namespace {

bool differ(const Session& session, Side side, const TypeIdsPointer& ids) {
    return ids != nullptr && ids->differing() > 0 && session.client_types != side;
}

}  // namespace

Status TypeMap::refresh() {
    const std::lock_guard one_at_a_time{refreshing_};
    Types types[2];
    for (const Side side : {Side::source, Side::target}) {
        Result<Types> loaded = load_(side);
        if (!loaded) {
            Error error = loaded.error();
            error.detail = "the types of the " + std::string{name(side)} +
                           " could not be read: " + error.detail;
            return error;
        }
        types[index(side)] = std::move(*loaded);
    }
    TypeIds ids{types[0], types[1]};
    const std::lock_guard lock{mutex_};
    if (current_ == nullptr || !(*current_ == ids))
        current_ = std::make_shared<const TypeIds>(std::move(ids));
    return Done{};
}

std::shared_ptr<const TypeIds> TypeMap::current() const {
    const std::lock_guard lock{mutex_};
    return current_;
}

TypeMap::Load types_of_servers(const Config& config) {
    return [&config](Side side) -> Result<TypeMap::Types> {
        auto connection = open_catalog(config, side);
        if (!connection) return connection.error();
        return backfill::postgres::load_type_catalog(*connection);
    };
}

std::unique_ptr<TypeTranslator> translator_for(const Session& session,
                                               Side side,
                                               const TypeIdsPointer& ids) {
    if (!differ(session, side, ids)) return nullptr;
    return std::make_unique<TypeTranslator>(ids, index(session.client_types));
}

bool other_speaks_types(const Session& session, const TypeIdsPointer& ids) {
    const auto& types = session.other->types;
    return differ(session, session.other->side, ids) ? types != nullptr && types->ids() == ids
                                                     : types == nullptr;
}

}  // namespace segue::proxy
