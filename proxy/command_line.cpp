#include "proxy/command_line.hpp"

#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "proxy/config_reader.hpp"
#include "proxy/help_format.hpp"

namespace segue::proxy {

namespace {

constexpr int usage_error = 2;
constexpr std::size_t events_shown_max = 100'000;

constexpr const char* description =
    "Moves a live database to another one without the application noticing.\n"
    "\n"
    "Clients connect to `segue run` instead of the source. `segue start` copies the database to "
    "the target and keeps both equal; `shadow` and `shift` let the target answer reads; `cutover` "
    "makes the target the authority while the clients keep their connections; `rollback` goes back "
    "without losing a write; `finish` ends the move.";

constexpr const char* footer =
    "The usual order: check, run (in the foreground, by your service manager), start, status "
    "--watch, verify, mirror sync, shadow, shift, rehearse, cutover, and after some days finish. "
    "Until finish, rollback goes back.\n"
    "\n"
    "Exit status: 0 done, or already so; 1 refused or failed, with the reason and the remedy on "
    "standard error; 2 a mistake on the command line or in the configuration.";

struct VerbHelp {
    const char* name;
    const char* text;
};

constexpr VerbHelp plain_verbs[] = {
    {"run",
     "The program: proxy, mover and admin in one process, in the foreground. Logs to standard "
     "error. Recovers by itself from whatever "
     "an earlier run left, and serves clients also while a database is down. SIGTERM or SIGINT "
     "stops it in order."},
    {"check",
     "Preflight: every reason why the move would be refused or unsafe, and everything that Segue "
     "would create on the servers. Reads only. "
     "Works with and without a running `segue run`. Exit status 1 if anything fails."},
    {"start",
     "Runs check, prepares both servers, and begins to copy. Returns once copying has begun; the "
     "rest happens in `segue run`. "
     "Doing it again does no harm."},
    {"pause",
     "Stops copying and following until `segue resume`. The authority retains its log meanwhile, "
     "up to [limits] retained_log_mb."},
    {"resume", "Goes on with copying and following."},
    {"repair",
     "Copies again, from the authority, the rows that `segue verify` found to differ, and compares "
     "their tables again. Who mended what is on record in segue.repair on both sides."},
};

struct Options {
    double percent = 0;
    std::string mode;
    std::int64_t deadline_ms = 0;
    bool force = false, unfence = false, accept_differences = false;
    std::string confirm;
    std::string code;
    bool anew = false, last = false;
    std::string certificate, check;
    std::int64_t rate = -1, background = -1;
    std::size_t events = 100;
    std::string what;  // auto
    bool dry_run = false, detach = false;
    std::string statement;
    bool slower = false, forget = false;
    std::string by;
    std::vector<std::string> users, applications, databases, tables;
    bool everything = false;
    std::size_t statements = 50;
};

// CLI11's own range lets NaN pass.
std::string percentage(const std::string& text) {
    double value = -1;
    const bool good = CLI::detail::lexical_cast(text, value) && value >= 0 && value <= 100;
    return good ? "" : "expected a number from 0 to 100, but found " + text;
}

std::string milliseconds(const std::string& text) {
    std::int64_t value = 0;
    const bool good = CLI::detail::lexical_cast(text, value) && value > 0;
    return good ? "" : "expected a whole number of milliseconds, at least 1, but found " + text;
}

std::string reason(const CLI::App& app, const CLI::ParseError& error) {
    if (!app.get_subcommands().empty() || error.get_name() != "RequiredError") return error.what();
    const std::vector<std::string> words = app.remaining();
    const auto verb = std::find_if(
        words.begin(), words.end(), [](const auto& word) { return !word.starts_with("-"); });
    const std::string text = error.what();
    if (verb == words.end())
        return text.find("ubcommand") != std::string::npos ? "a verb is required" : text;
    std::vector<std::string> names;
    for (const CLI::App* known : app.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(known->get_name());
    const std::string near = nearest(*verb, names);
    return "unknown verb: " + *verb + (near.empty() ? "" : "; did you mean " + near + "?");
}

void add_knobs(CLI::App& app, Options& options) {
    CLI::App* mirror =
        app.add_subcommand("mirror",
                           "When a commit is acknowledged: async, when the authority has it; sync, "
                           "when both have it (the gate). "
                           "Returns when it is so for every new commit.");
    mirror->add_option("MODE", options.mode, "async or sync")
        ->required()
        ->check(CLI::IsMember({"async", "sync"}));
    CLI::App* shadow = app.add_subcommand("shadow",
                                          "Percent of reads that are executed on the follower as "
                                          "well and compared. The client never waits for it.");
    shadow->add_option("PERCENT", options.percent, "from 0 to 100, fractions allowed")
        ->required()
        ->check(percentage);
    CLI::App* shift = app.add_subcommand("shift",
                                         "Percent of reads that the follower answers, never with "
                                         "older data than the authority would. Limits stay until "
                                         "others are given, or `shift 0` ends it all.");
    shift->add_option("PERCENT", options.percent, "from 0 to 100, fractions allowed")
        ->required()
        ->check(percentage);
    shift->add_option("--by", options.by, "statements (the default) or sessions, which stay chosen")
        ->check(CLI::IsMember({"statements", "sessions"}));
    CLI::Option* everything = shift->add_flag("--everything", options.everything, "No limits more");
    const auto limit = [&](const char* option, std::vector<std::string>& names, const char* text) {
        shift->add_option(option, names, text)
            ->allow_extra_args(false)
            ->type_name("NAME")
            ->excludes(everything);
    };
    limit("--user", options.users, "Only sessions of that role; each of these several times");
    limit("--application", options.applications, "Only sessions of that application_name");
    limit("--database", options.databases, "Only sessions of that database");
    limit("--table", options.tables, "Only reads of nothing but that table ([SCHEMA.]TABLE)");
}

nlohmann::json shift_arguments(const Options& options) {
    nlohmann::json arguments = {{"percent", options.percent}};
    if (!options.by.empty()) arguments["by"] = options.by;
    if (options.everything) arguments["everything"] = true;
    const auto add = [&](const char* key, const std::vector<std::string>& names) {
        if (!names.empty()) arguments[key] = names;
    };
    add("users", options.users);
    add("applications", options.applications);
    add("databases", options.databases);
    add("tables", options.tables);
    return arguments;
}

void add_verify(CLI::App& app, Options& options) {
    CLI::App* verify = app.add_subcommand(
        "verify",
        "Compares every row of both databases while they are in use, and waits for the result. "
        "Exit status 1 if a row differs; the differences are listed. One that was interrupted goes "
        "on where it was.");
    verify->add_flag("--anew", options.anew, "Begin from the first table in any case");
    verify
        ->add_option("--rate",
                     options.rate,
                     "Rows a second at most, on each side; 0: no limit (default: [verify] "
                     "rows_per_second)")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
        ->type_name("ROWS");
    verify
        ->add_option("--background",
                     options.background,
                     "Compare nothing now: from here on, and until `run` ends, verify in the "
                     "background at so many rows a second; 0: no more (at start: [verify] "
                     "background_rows_per_second)")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
        ->type_name("ROWS");
    verify
        ->add_option("--certificate",
                     options.certificate,
                     "Writes what was compared, at which positions, with hashes per table: JSON to "
                     "FILE, the same for people to FILE.txt")
        ->type_name("FILE");
    CLI::Option* last =
        verify->add_flag("--last", options.last, "Compare nothing: tell what the last one found");
    verify
        ->add_option("--check",
                     options.check,
                     "Compare nothing: whether that certificate is as it was issued")
        ->type_name("FILE")
        ->excludes(last);
}

void add_changes(CLI::App& app, Options& options) {
    const auto deadline = [&](CLI::App* verb) {
        verb->add_option("--deadline",
                         options.deadline_ms,
                         "Milliseconds from holding the clients to releasing them; beyond it the "
                         "change is given up "
                         "(default: [cutover] deadline_ms)")
            ->check(milliseconds)
            ->type_name("MS");
        return verb;
    };
    deadline(
        app.add_subcommand("rehearse",
                           "What a change of authority would cost now: prepares every session, "
                           "holds the clients, measures, releases. Changes nothing."));
    deadline(app.add_subcommand("cutover",
                                "Makes the target the authority. Clients are held for a moment and "
                                "keep their connections. Refused, with the reason, "
                                "unless the way back is proven; given up without a trace when the "
                                "deadline passes before the point of no return."));
    CLI::App* rollback = deadline(app.add_subcommand(
        "rollback", "Makes the source the authority again, with every write made meanwhile."));
    rollback->add_flag("--force",
                       options.force,
                       "For a target that is lost for good: go on with what the source has. Says "
                       "what may be missing and asks "
                       "for the migration's name");
    rollback
        ->add_option("--confirm",
                     options.confirm,
                     "With --force: the migration's name. Who gives it says that the lost target "
                     "cannot come back and accept writes")
        ->type_name("NAME");
    CLI::App* finish =
        app.add_subcommand("finish",
                           "Ends the move: stops mirroring, puts back what Segue changed on both "
                           "servers, and leaves a tombstone that keeps clients "
                           "on the right side. The other side stays fenced.");
    finish->add_flag("--unfence",
                     options.unfence,
                     "Opens the other side's fence too, also after an earlier finish");
    finish->add_flag("--accept-differences",
                     options.accept_differences,
                     "Finish although something is known to differ, and keep that on record");
}

void add_auto(CLI::App& app, Options& options) {
    CLI::App* plan = app.add_subcommand(
        "auto",
        "Follows a plan through the migration: each step begins when the last one has held for "
        "long "
        "enough, and is taken back when a guardrail breaks. `segue run` does it, also when this "
        "terminal is closed; here its decisions are shown until it is through (0) or waits for "
        "you (1). A verb of yours that changes its course pauses it.");
    plan->add_option("WHAT",
                     options.what,
                     "The plan (TOML; see auto.example.toml), or pause, resume, stop or status")
        ->required();
    plan->add_flag("--dry-run", options.dry_run, "Only tell what would be decided now");
    plan->add_flag("--detach", options.detach, "Return once the plan is taken up");
}

void add_statements(CLI::App& app, Options& options) {
    CLI::App* statements = app.add_subcommand(
        "statements",
        "How long each statement takes on both sides, while `segue shadow` has it executed there: "
        "those that are slower on the follower first, then those by which most time is lost. Of "
        "those that differ also the rows that do, by table, key and kind, or that they are equal. "
        "No value of a statement is shown.");
    CLI::Option* explain =
        statements
            ->add_option("--explain",
                         options.statement,
                         "Both servers' plans of that statement. Nothing is executed: it is "
                         "planned for any value, as the role that sent it")
            ->type_name("FINGERPRINT");
    statements->add_flag("--slower", options.slower, "Only those that are slower on the follower");
    statements->add_option("--limit", options.statements, "The first so many (default: 50)")
        ->check(CLI::Range(std::size_t{1}, events_shown_max))
        ->type_name("COUNT");
    statements->add_flag("--forget", options.forget, "Begin anew, after something was mended")
        ->excludes(explain);
}

// Who asks, for the account that is kept: not proven, as anybody at the admin address may say so.
std::string own_name() {
    const passwd* user = getpwuid(geteuid());
    char host[256] = {};
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    return std::string{user != nullptr ? user->pw_name : "?"} + "@" + host;
}

nlohmann::json arguments_of(const std::string& verb, const Options& options) {
    nlohmann::json arguments = nlohmann::json::object();
    if (verb == "mirror") arguments["mode"] = options.mode;
    if (verb == "shadow") arguments["percent"] = options.percent;
    if (verb == "shift") arguments = shift_arguments(options);
    if (options.deadline_ms > 0) arguments["deadline_ms"] = options.deadline_ms;
    if (verb == "rollback" && options.force) {
        arguments["force"] = true;
        arguments["confirm"] = options.confirm;
    }
    if (verb == "finish") {
        arguments["unfence"] = options.unfence;
        arguments["accept_differences"] = options.accept_differences;
    }
    if (verb == "explain") arguments["code"] = options.code;
    if (verb == "auto") {
        arguments["what"] = options.what;
        arguments["dry_run"] = options.dry_run;
        arguments["detach"] = options.detach;
    }
    if (verb == "events") arguments["limit"] = options.events;
    if (verb == "statements") {
        arguments["limit"] = options.statements;
        arguments["slower"] = options.slower;
        if (!options.statement.empty()) arguments["explain"] = options.statement;
        if (options.forget) arguments["forget"] = true;
    }
    arguments["asked_by"] = own_name();
    if (verb == "verify") {
        arguments["anew"] = options.anew;
        arguments["last"] = options.last;
        if (options.background >= 0) arguments["background"] = options.background;
        if (options.rate >= 0) arguments["rows_per_second"] = options.rate;
    }
    return arguments;
}

}  // namespace

std::variant<Invocation, int> parse_command_line(int argc, const char* const* argv) {
    Invocation invocation;
    Options options;
    CLI::App app{description, "segue"};
    app.formatter(std::make_shared<HelpFormat>());
    app.footer(footer);
    app.set_version_flag("--version", std::string{"segue "} + SEGUE_VERSION);
    // --config and --json stand before or after the verb.
    app.fallthrough();
    app.require_subcommand(1);
    app.add_option("--config",
                   invocation.config_file,
                   "The configuration file (TOML); required by every verb but explain")
        ->type_name("FILE");
    app.add_flag("--json", invocation.json, "Print JSON");
    for (const VerbHelp& verb : plain_verbs) app.add_subcommand(verb.name, verb.text);
    add_knobs(app, options);
    add_verify(app, options);
    add_changes(app, options);
    add_auto(app, options);
    add_statements(app, options);
    app.add_subcommand("explain",
                       "What a code of `segue check` means, why it matters and what to do; without "
                       "a code, all of them. Needs no configuration.")
        ->add_option("CODE", options.code, "a finding's code, such as wal_level");
    CLI::App* status =
        app.add_subcommand("status",
                           "One screen: who answers, how far copying is, the lag, what reads show, "
                           "whether the way back is open, and warnings.");
    status->add_flag("--watch", invocation.watch, "Keep it on the screen, live, until interrupted");
    app.add_subcommand(
           "events",
           "What happened, when, and who asked for it, as both databases keep it. Works "
           "with and without a running `segue run`.")
        ->add_option("--limit", options.events, "The last so many (default: 100)")
        ->check(CLI::Range(std::size_t{1}, events_shown_max))
        ->type_name("COUNT");
    for (CLI::App* verb : app.get_subcommands({})) verb->group("Verbs");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return app.exit(error, std::cout, std::cerr);
        std::cerr << "segue: " << reason(app, error) << "\nSee `segue --help`.\n";
        return usage_error;
    }
    invocation.verb = app.get_subcommands().front()->get_name();
    if (invocation.config_file.empty() && invocation.verb != "explain") {
        std::cerr << "segue: --config is required\nSee `segue --help`.\n";
        return usage_error;
    }
    invocation.arguments = arguments_of(invocation.verb, options);
    invocation.certificate_file = options.certificate;
    invocation.check_file = options.check;
    return invocation;
}

}  // namespace segue::proxy
