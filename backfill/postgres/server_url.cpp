#include "backfill/postgres/server_url.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <string_view>

namespace segue::backfill::postgres {

namespace {

constexpr const char* default_unix_directory = "/var/run/postgresql";

using Options = std::map<std::string, std::string>;

Error bad(std::string detail) { return Error{Errc::bad_value, std::move(detail)}; }

Result<Options> parse_options(const std::string& url) {
    char* message = nullptr;
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed{
        PQconninfoParse(url.c_str(), &message), &PQconninfoFree};
    const std::unique_ptr<char, decltype(&PQfreemem)> freed{message, &PQfreemem};
    // libpq's message may quote a part of the URL, and that part may be the password.
    if (!parsed) return bad("a libpq URI such as \"postgresql://segue@db1:5432/shop\"");
    Options options;
    for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
        if (option->val != nullptr && *option->val != '\0') options[option->keyword] = option->val;
    }
    return options;
}

// Takes sslnegotiation out of a URI, because libpq knows it only from 17 on. Empty when it is not
// there.
std::string take_negotiation(std::string& url) {
    constexpr std::string_view keyword = "sslnegotiation=";
    const std::size_t at = url.find(keyword);
    if (at == std::string::npos || at == 0 || (url[at - 1] != '?' && url[at - 1] != '&')) return {};
    const std::size_t value_at = at + keyword.size();
    const std::size_t end = std::min(url.find('&', value_at), url.size());
    const std::string value = url.substr(value_at, end - value_at);
    // With the separator behind it, or, when it is the last, the one before it.
    if (end < url.size()) {
        url.erase(at, end + 1 - at);
    } else {
        url.erase(at - 1);
    }
    return value;
}

// libpq, too, takes no direct TLS where it might have to do without TLS.
bool needs_tls(const std::string& sslmode) {
    return sslmode == "require" || sslmode == "verify-ca" || sslmode == "verify-full";
}

std::string quoted(const std::string& value) {
    std::string result = "'";
    for (const char c : value) {
        if (c == '\'' || c == '\\') result.push_back('\\');
        result.push_back(c);
    }
    return result + "'";
}

std::string take(const Options& options, const char* keyword) {
    const auto found = options.find(keyword);
    return found == options.end() ? std::string{} : found->second;
}

}  // namespace

Result<ServerUrl> parse_server_url(const std::string& url, const ServerSecrets& secrets) {
    std::string known = url;
    const std::string negotiation = take_negotiation(known);
    auto parsed = parse_options(known);
    if (!parsed) return parsed.error();
    Options& options = *parsed;
    if (!secrets.password.empty()) options["password"] = secrets.password;
    if (!secrets.passfile.empty()) options["passfile"] = secrets.passfile;

    ServerUrl result;
    result.user = take(options, "user");
    result.database = take(options, "dbname");
    if (result.user.empty())
        return bad("a URI that names the role Segue itself uses: \"postgresql://ROLE@...\"");
    if (result.database.empty())
        return bad("a URI that names the database to move: \".../DATABASE\"");
    result.host = options.contains("hostaddr") ? take(options, "hostaddr") : take(options, "host");
    if (options.contains("hostaddr")) result.tls_host = take(options, "host");
    if (result.host.find(',') != std::string::npos) return bad("one host, not a list");
    if (result.host.empty()) options["host"] = result.host = default_unix_directory;
    if (result.host.front() == '/') std::swap(result.host, result.unix_directory);
    const std::string port = take(options, "port");
    if (!port.empty()) {
        const auto [end, error] =
            std::from_chars(port.data(), port.data() + port.size(), result.port);
        if (error != std::errc{} || end != port.data() + port.size() || result.port == 0) {
            return bad("a port from 1 to 65535");
        }
    }
    result.sslmode = take(options, "sslmode");
    if (!negotiation.empty() && negotiation != "direct" && negotiation != "postgres") {
        return bad("sslnegotiation \"direct\" or \"postgres\"");
    }
    result.direct_tls = negotiation == "direct";
    if (result.direct_tls && !needs_tls(result.sslmode))
        return bad("sslmode require, verify-ca or verify-full beside sslnegotiation");
    result.sslrootcert = take(options, "sslrootcert");
    result.sslcert = take(options, "sslcert");
    result.sslkey = take(options, "sslkey");
    if (result.sslcert.empty() != result.sslkey.empty())
        return bad("both sslcert and sslkey, or neither");
    result.has_password = options.contains("password");
    for (const auto& [keyword, value] : options) {
        if (!result.connection.empty()) result.connection += ' ';
        result.connection += keyword + "=" + quoted(value);
    }
    return result;
}

}  // namespace segue::backfill::postgres
