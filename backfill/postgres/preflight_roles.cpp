#include "backfill/postgres/preflight_roles.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "backfill/postgres/roles.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::size_t md5_roles_named_max = 5;

using Verifiers = std::map<std::string, std::string>;

Result<Verifiers> read_login_roles(Connection& connection) {
    const auto rows = connection.execute(
        "SELECT rolname, coalesce(rolpassword, '') FROM pg_authid WHERE rolcanlogin AND rolname "
        "NOT LIKE 'pg\\_%'");
    if (!rows) return rows.error();
    Verifiers verifiers;
    for (int row = 0; row < rows->size(); ++row) verifiers[rows->text(row, 0)] = rows->text(row, 1);
    return verifiers;
}

// What a superuser would do beyond what our role on the target can.
void warn_of_roles_beyond_us(Connection& source,
                             Connection& target,
                             std::vector<Finding>& findings) {
    const auto from = read_roles(source);
    const auto to = read_roles(target);
    if (!from || !to) return;  // Said when they are carried.
    const auto beyond = roles_beyond_us(*from, *to, target);
    if (!beyond) return;
    const std::vector<std::string> differing = roles_to_change(*from, *to);
    for (const std::string& role : *beyond) {
        const bool ours = role == PQuser(source.raw());
        if (ours || std::find(differing.begin(), differing.end(), role) == differing.end())
            continue;
        findings.push_back(
            {Severity::warn,
             "role_beyond_us",
             "target: role " + role,
             "only a superuser may create it or set its password, and our role is none: it is left "
             "as it"
             " is, and its sessions cannot be moved if its password verifier differs",
             "make it equal as a superuser, if an application uses it"});
    }
}

// Which `start` gives no verifier: those beyond us, and our own where it has another password.
std::set<std::string> roles_left_alone(Connection& source, Connection& target) {
    std::set<std::string> names;
    if (std::string_view{PQuser(source.raw())} != PQuser(target.raw()) ||
        std::string_view{PQpass(source.raw())} != PQpass(target.raw()))
        names.insert(PQuser(target.raw()));
    const auto from = read_roles(source);
    const auto to = read_roles(target);
    if (!from || !to) return names;
    if (const auto beyond = roles_beyond_us(*from, *to, target))
        names.insert(beyond->begin(), beyond->end());
    return names;
}

std::string kind_of(const std::string& verifier) {
    return verifier.starts_with("SCRAM-SHA-256$") ? "SCRAM-SHA-256" : "md5";
}

// One role's way onto both servers.
struct Readiness {
    const ServerSettings& settings;
    const std::string& role;
    const std::string& verifier;         // The source's.
    const std::string* target_verifier;  // Null: the role does not exist there, or may not log in.
    bool left_alone;                     // Our own role, or one that only a superuser may change.

    bool mapped(Side side) const { return settings.mapped_roles[index(side)].contains(role); }

    Finding finding() const {
        Finding found{Severity::information, "role_login", "role " + role, "", ""};
        if (mapped(Side::source) && mapped(Side::target)) {
            found.reason = "Segue logs it in on both sides by [[credentials]]";
        } else if (mapped(Side::target)) {
            found.reason = "its own password on the source, [[credentials]] on the target";
        } else if (settings.sync_roles) {
            found.reason = after_sync();
        } else if (target_verifier == nullptr) {
            return warning("role_missing",
                           "it does not exist there: its sessions cannot be moved",
                           "[target] roles = \"sync\"");
        } else if (*target_verifier != verifier) {
            return warning(
                "role_verifier",
                "its password verifier differs from the source's: its sessions cannot be moved",
                "[target] roles = \"sync\", or copy rolpassword by ALTER ROLE ... PASSWORD, or "
                "give Segue the target's"
                " password by [[credentials]]");
        } else {
            found.reason = by_its_own();
        }
        return found;
    }

private:
    Finding warning(FindingCode code, const char* reason, const char* remedy) const {
        return {Severity::warn, code, "target: role " + role, reason, remedy};
    }
    std::string by_its_own() const {
        if (verifier.empty())
            return "no password: what lets it in on the source (trust, LDAP ...) must let it in on "
                   "the target as well";
        return kind_of(verifier) + ", the same verifier on both sides: its own password on both";
    }
    std::string after_sync() const {
        const bool same = target_verifier != nullptr && *target_verifier == verifier;
        if (same || verifier.empty()) return by_its_own();
        if (left_alone)
            return target_verifier == nullptr
                       ? "only a superuser may create it on the target"
                       : "its own password on each side, which is left as it is";
        return kind_of(verifier) + " on the source; start gives the target " +
               (target_verifier == nullptr ? "the role with the same verifier"
                                           : "the same verifier") +
               ": its own password on both";
    }
};

void tell_readiness(const ServerSettings& settings,
                    const Verifiers& source,
                    const Verifiers& target,
                    const std::set<std::string>& left_alone,
                    std::vector<Finding>& findings) {
    std::size_t in_order = 0;
    for (const auto& [role, verifier] : source) {
        const auto found = target.find(role);
        const Readiness readiness{settings,
                                  role,
                                  verifier,
                                  found == target.end() ? nullptr : &found->second,
                                  left_alone.contains(role)};
        Finding finding = readiness.finding();
        if (finding.severity == Severity::information && ++in_order > roles_named_max) continue;
        findings.push_back(std::move(finding));
    }
    if (in_order <= roles_named_max) return;
    findings.push_back({Severity::information,
                        "role_login",
                        std::to_string(in_order - roles_named_max) + " more roles",
                        "are in order as well",
                        ""});
}

void warn_of_md5(const Verifiers& source, std::vector<Finding>& findings) {
    std::string named;
    std::size_t count = 0;
    for (const auto& [role, verifier] : source) {
        if (!verifier.starts_with("md5") || ++count > md5_roles_named_max) continue;
        named += (named.empty() ? "" : ", ") + role;
    }
    if (count == 0) return;
    if (count > md5_roles_named_max) named += " ...";
    findings.push_back(
        {Severity::warn,
         "md5_verifier",
         "source: roles",
         "the passwords of " + std::to_string(count) + " roles are stored as md5: " + named,
         "SET password_encryption = 'scram-sha-256'; ALTER ROLE ... PASSWORD '...';"});
}

// Whoever must log in by what cannot be passed on to a server. Nothing where our role may not read
// the file.
void warn_of_methods(const ServerSettings& settings,
                     Side side,
                     Connection& connection,
                     std::vector<Finding>& findings) {
    const auto rows = connection.execute(R"sql(
        SELECT auth_method, string_agg(line_number::text, ', ' ORDER BY line_number), string_agg(DISTINCT array_to_string(user_name, ', '), ', ')
        FROM pg_hba_file_rules WHERE database && ARRAY['all', 'sameuser', 'samerole', current_database()::text]
          AND (type LIKE 'host%' AND auth_method IN ('gss', 'sspi', 'cert', 'ident', 'oauth')
               OR type = 'local' AND auth_method = 'peer' AND inet_server_addr() IS NULL) GROUP BY 1 ORDER BY 1)sql");
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) {
        const std::string users = rows->text(row, 2);
        const bool mapped = settings.mapped_roles[index(side)].contains(users);
        if (mapped) continue;
        findings.push_back(
            {Severity::warn,
             "role_method",
             std::string{name(side)} + ": pg_hba.conf line " + rows->text(row, 1),
             "logins of " + users + " by " + rows->text(row, 0) +
                 " cannot be passed on: they end at Segue",
             "a password method for connections from Segue's address, before that line"});
    }
}

}  // namespace

void check_roles(const ServerSettings& settings,
                 Connection& source,
                 Connection& target,
                 std::vector<Finding>& findings) {
    warn_of_methods(settings, Side::source, source, findings);
    warn_of_methods(settings, Side::target, target, findings);
    if (settings.sync_roles) {
        const auto may = target.execute(
            "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user");
        if (may && may->size() == 1 && !may->truth(0, 0)) {
            findings.push_back({Severity::fail,
                                "role_createrole",
                                "target",
                                "our role may not create roles, and [target] roles is \"sync\"",
                                "ALTER ROLE " + quote_identifier(PQuser(target.raw())) +
                                    " CREATEROLE;  -- or roles = \"keep\""});
        }
        warn_of_roles_beyond_us(source, target, findings);
        const auto beyond = database_settings_beyond_us(source, target);
        for (const std::string& command : beyond ? *beyond : std::vector<std::string>{}) {
            findings.push_back({Severity::fail,
                                "database_setting",
                                "target",
                                "the source's database has a setting that the target's lacks, and "
                                "our role does not own it",
                                command + ";  -- on the target, as its owner"});
        }
    }
    const auto from = read_login_roles(source);
    const auto to = read_login_roles(target);
    if (!from || !to) return;  // Said by role_verifiers.
    tell_readiness(settings, *from, *to, roles_left_alone(source, target), findings);
    warn_of_md5(*from, findings);
}

}  // namespace segue::backfill::postgres
