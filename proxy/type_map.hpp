#pragma once
// Which type OIDs of the two servers mean the same, as both catalogs said last. Sessions that are
// prepared for a move take the map of that time with them. Thread-safe.

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "protocol/postgres/type_ids.hpp"
#include "protocol/postgres/type_translator.hpp"
#include "protocol/result.hpp"
#include "proxy/config.hpp"
#include "proxy/session.hpp"
#include "router/side.hpp"

namespace segue::proxy {

class TypeMap {
public:
    using Types = std::vector<protocol::postgres::CatalogType>;
    using Load = std::function<Result<Types>(Side)>;

    explicit TypeMap(Load load) : load_(std::move(load)) {}

    // Asks both servers; blocks. After an error the map is what it was.
    Status refresh();
    // Null before the first refresh. Another object only when something has changed.
    std::shared_ptr<const protocol::postgres::TypeIds> current() const;

private:
    Load load_;
    std::mutex refreshing_;
    mutable std::mutex mutex_;
    std::shared_ptr<const protocol::postgres::TypeIds> current_;
};

// Reads the catalogs of the configuration's servers, each time on a new connection.
TypeMap::Load types_of_servers(const Config& config);

using TypeIdsPointer = std::shared_ptr<const protocol::postgres::TypeIds>;

// What a connection to `side` needs so that it speaks the OIDs that the session's client knows.
// Null: nothing, because they are the same, or not known to differ.
std::unique_ptr<protocol::postgres::TypeTranslator> translator_for(const Session& session,
                                                                   Side side,
                                                                   const TypeIdsPointer& ids);

// Whether the session's other connection, which exists, has been given just that.
bool other_speaks_types(const Session& session, const TypeIdsPointer& ids);

}  // namespace segue::proxy
