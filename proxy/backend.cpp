#include "proxy/backend.hpp"

#include "protocol/crypto.hpp"
#include "protocol/result.hpp"

namespace segue::proxy {

namespace {

void wipe(Credentials::Secret& secret) {
    std::visit(Overloaded{
                   [](NoCredentials&) {},
                   [](Password& password) { crypto::wipe(password.text); },
                   [](Md5Hash& hash) { crypto::wipe(hash.text); },
                   [](ScramKeys& keys) {
                       crypto::wipe(keys.client_key);
                       crypto::wipe(keys.server_key);
                   },
               },
               secret);
}

}  // namespace

Credentials::Credentials(Secret secret) : secret_(std::move(secret)) { wipe(secret); }

Credentials::Credentials(Credentials&& from) noexcept : secret_(std::move(from.secret_)) {
    wipe(from.secret_);  // A short string is copied by a move, not taken.
}

Credentials& Credentials::operator=(Credentials&& from) noexcept {
    if (this == &from) return *this;
    wipe(secret_);
    secret_ = std::move(from.secret_);
    wipe(from.secret_);
    return *this;
}

Credentials::~Credentials() { wipe(secret_); }

}  // namespace segue::proxy
