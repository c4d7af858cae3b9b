#include "proxy/app.hpp"

#include <spdlog/spdlog.h>
#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "backfill/postgres/log_position.hpp"
#include "proxy/admin.hpp"
#include "proxy/catalog_connection.hpp"
#include "proxy/control_plane.hpp"
#include "proxy/history.hpp"
#include "proxy/http.hpp"
#include "proxy/journal.hpp"
#include "proxy/listener.hpp"
#include "proxy/log.hpp"
#include "proxy/operations.hpp"
#include "proxy/operator.hpp"
#include "proxy/pilot.hpp"
#include "proxy/positions.hpp"
#include "proxy/preflight.hpp"
#include "proxy/read_services.hpp"
#include "proxy/reload.hpp"
#include "proxy/role_secrets.hpp"
#include "proxy/server_watch.hpp"
#include "proxy/session_registry.hpp"
#include "proxy/setting_names.hpp"
#include "proxy/settings.hpp"
#include "proxy/standing_blockers.hpp"
#include "proxy/tls.hpp"
#include "proxy/type_map.hpp"

namespace segue::proxy {

namespace {

constexpr int configuration_error = 2;

// Few sessions are served with less processor time by fewer threads, which are woken for several of
// them at once; many take every core.
constexpr std::size_t sessions_before_last_core = 16;

int relay_threads(const Config& config) {
    if (config.relay_threads > 0) return config.relay_threads;
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Who looks has a core for that time, and the server it waits for needs another one.
std::chrono::microseconds longest_look(const Config& config) {
    return std::thread::hardware_concurrency() > 1 ? config.look : std::chrono::microseconds{0};
}

Result<AdminTokens> read_tokens(const Config& config) {
    AdminTokens tokens;
    const auto take = [](const char* key, const std::string& file, std::string& into) -> Status {
        if (file.empty()) return Done{};
        auto read = read_token(key, file);
        if (!read) return read.error();
        into = std::move(*read);
        return Done{};
    };
    if (const Status s = take("token_file", config.admin_token_file, tokens.operate); !s)
        return s.error();
    if (const Status s = take("read_token_file", config.admin_read_token_file, tokens.read); !s)
        return s.error();
    return tokens;
}

Result<std::unique_ptr<ClientTls>> read_client_tls(const Config& config) {
    if (config.tls_certificate.empty()) return std::unique_ptr<ClientTls>{};
    return ClientTls::make(config.tls_certificate, config.tls_key, config.tls_client_ca);
}

// What logins use, with what of it a reload replaces.
struct Serving {
    std::shared_ptr<const Config> config;
    std::unique_ptr<ClientTls> tls;
    LoginServices services;
};

// Everything that does not need the control thread to exist first is built by the constructor, in
// the order in which it is used; destruction is the reverse.
class App {
public:
    App(const Config& config, std::unique_ptr<Dialer> dialer, ControlPlane& control);
    ~App() { stop(); }

    // Opens the addresses and starts the threads. An Error names the address.
    Status start(std::unique_ptr<ClientTls> tls, const AdminTokens& tokens);
    // Takes over what the file says now, or nothing of it. On the control thread.
    void reload();
    void stop();

private:
    StatusInputs inputs() const;
    OperationParts parts();
    std::shared_ptr<const LoginServices> services(std::unique_ptr<ClientTls> tls);
    Result<Reload> read_again();
    boost::asio::awaitable<void> keep_history();
    PilotParts pilot_parts();
    StandingBlockers::Sources blockers_of_databases();

    const Config& config_;  // As it was at the start.
    CurrentConfig current_;
    ControlPlane& control_;
    std::atomic<bool> stopping_{false};
    Traffic traffic_;
    StateBoard board_;
    DurableJournal journal_;
    std::unique_ptr<backfill::ChangeSteps> steps_;
    std::unique_ptr<backfill::Mover> mover_;
    std::array<backfill::postgres::LogPosition, 2> log_ends_;
    Positions positions_;
    TypeMap types_;
    SettingNames setting_names_;
    ReadServices reads_;
    std::unique_ptr<Dialer> dialer_;
    SessionRegistry registry_;
    RoleSecrets secrets_;
    Operations operations_;
    Operator operator_;
    ServerWatch server_watch_{board_, journal_};
    StandingBlockers standing_blockers_;
    Pilot pilot_;
    std::unique_ptr<Listener> listener_;
    History history_;  // Of the control thread.
    std::unique_ptr<Admin> admin_;
    std::unique_ptr<HttpServer> http_;
    bool started_ = false;
};

App::App(const Config& config, std::unique_ptr<Dialer> dialer, ControlPlane& control)
    : config_(config),
      current_(config),
      control_(control),
      journal_(
          backfill::make_postgres_event_log(config.source.connection, config.target.connection)),
      steps_(backfill::make_postgres_change_steps(server_settings(config))),
      mover_(backfill::make_postgres_mover(mover_settings(config))),
      log_ends_{backfill::postgres::LogPosition{config.source.connection, {}},
                backfill::postgres::LogPosition{config.target.connection, {}}},
      positions_({[this](Side side) { return log_ends_[index(side)].read(); },
                  [this](Side side) { return log_ends_[index(side)].commit_ticket(); }}),
      types_(types_of_servers(config)),
      setting_names_(setting_names_of_servers(config),
                     [this](const std::string& text) { journal_.warning("sessions", text); }),
      reads_(config, traffic_, positions_, *mover_, {types_, setting_names_}),
      dialer_(std::move(dialer)),
      registry_({relay_threads(config),
                 config.relay_threads > 0 ? 0 : sessions_before_last_core,
                 config.io_uring,
                 longest_look(config),
                 {config.mirror_policy, config.mirror_bound},
                 config.carry_temporary_max,
                 config.move_percent},
                {control.context().get_executor(),
                 &traffic_,
                 dialer_.get(),
                 &positions_,
                 {&mover_->applied(Side::source), &mover_->applied(Side::target)},
                 &reads_.reads,
                 &reads_.shadow,
                 &types_,
                 &setting_names_}),
      secrets_(config.source, config.target),
      operations_(parts()),
      operator_(operations_),
      standing_blockers_(blockers_of_databases()),
      pilot_(pilot_parts()) {}

// The authority that a change would leave, once the databases are consistent.
std::optional<Side> to_be_left(const BoardState& board, const backfill::MoverStatus& mover) {
    const bool steady = board.record && board.record->phase == router::Phase::steady &&
                        board.record->backfill == router::Backfill::consistent;
    return steady && mover.running ? std::optional{board.record->authority} : std::nullopt;
}

// On a connection of its own, which is left in no known state.
Result<std::vector<std::string>> plan_statement(const Config& config,
                                                Side side,
                                                const backfill::postgres::PlanQuestion& question) {
    auto connection = open_catalog(config, side, /*normalised=*/false);
    if (!connection) return connection.error();
    return backfill::postgres::plan_of(*connection, question);
}

OperationParts App::parts() {
    return {config_,
            {*steps_, *mover_, registry_, traffic_, journal_, stopping_},
            board_,
            [this] { return preflight(*current_.get()); },
            &current_,
            &reads_.reads.figures(),
            [this](Side side, const backfill::postgres::PlanQuestion& question) {
                return plan_statement(config_, side, question);
            }};
}

std::shared_ptr<const LoginServices> App::services(std::unique_ptr<ClientTls> tls) {
    auto config = current_.get();
    const Config& used = *config;
    const ClientTls* const used_tls = tls.get();
    const auto serving =
        std::make_shared<Serving>(Serving{std::move(config),
                                          std::move(tls),
                                          {used,
                                           traffic_,
                                           *dialer_,
                                           used_tls,
                                           secrets_,
                                           registry_,
                                           registry_,
                                           [this] { return registry_.session_count(); },
                                           [this] { return board_.read().unreachable; }}});
    return {serving, &serving->services};
}

PilotParts App::pilot_parts() {
    return {
        [this] {
            return auto_view(
                inputs(), reads_.reads.statement_sums(), std::chrono::system_clock::now());
        },
        operator_,
        journal_,
        backfill::make_postgres_plan_store(config_.source.connection, config_.target.connection)};
}

StandingBlockers::Sources App::blockers_of_databases() {
    const auto authority = [this] { return to_be_left(board_.read(), mover_->status()); };
    const auto may_look = [this] {
        const std::string verb = operator_.current_verb();
        return verb != "rehearse" && verb != "cutover" && verb != "rollback" && verb != "finish";
    };
    const auto make_steps = [this] {
        return backfill::make_postgres_change_steps(server_settings(config_));
    };
    const auto watch = [this](backfill::ChangeSteps& steps) { server_watch_.look(steps); };
    return {make_steps, authority, may_look, watch};
}

StatusInputs App::inputs() const {
    StatusInputs inputs;
    inputs.board = board_.read();
    inputs.mover = mover_->status();
    inputs.sessions = registry_.report();
    inputs.shadow = registry_.shadow_report();
    inputs.shift = registry_.shift_report();
    inputs.policy = config_.mirror_policy;
    inputs.background = mover_->background();
    inputs.degraded = registry_.gate_status().degraded || !inputs.board.sync_given_up().empty();
    inputs.retained_log_bytes_max = config_.retained_log_bytes_max;
    inputs.accepted = current_.get()->accepted;
    inputs.migration = config_.migration;
    inputs.autopilot = pilot_.report();
    inputs.standing_blockers =
        standing_blockers_.against_leaving(to_be_left(inputs.board, inputs.mover));
    if (inputs.board.verify.outcome == VerifyOutcome::running) {
        inputs.board.verify.rows_compared = mover_->verify_rows_so_far();
    }
    return inputs;
}

Status App::start(std::unique_ptr<ClientTls> tls, const AdminTokens& tokens) {
    admin_ = std::make_unique<Admin>(AdminSources{[this] { return inputs(); },
                                                  [this] { return journal_.recent(); },
                                                  [this] { return history_.list(); },
                                                  [this] { return reads_.reads.figures().all(); }},
                                     operator_,
                                     tokens,
                                     &pilot_);
    auto http =
        HttpServer::listen(control_.context(), config_.admin, [this](const HttpRequest& request) {
            return admin_->answer(request);
        });
    if (!http) return http.error();
    http_ = std::move(*http);
    const auto on_failure = [](const Error& error) { spdlog::info("login: {}", error.detail); };
    auto listener =
        Listener::open(control_.context(), config_.listen, services(std::move(tls)), on_failure);
    if (!listener) return listener.error();
    listener_ = std::move(*listener);
    started_ = true;
    positions_.start();
    reads_.start();
    registry_.start();
    control_.start();
    control_.run([this] {
        listener_->start();
        boost::asio::co_spawn(
            control_.context(), keep_history(), [](const std::exception_ptr& thrown) {
                if (thrown) spdlog::error("history: ended by an exception");
            });
    });
    operator_.start();
    standing_blockers_.start();
    pilot_.start();
    return Done{};
}

boost::asio::awaitable<void> App::keep_history() {
    while (!stopping_) {
        history_.add(std::chrono::system_clock::now(), status_json(inputs()));
        co_await pause_for(history_step);
    }
}

Result<Reload> App::read_again() {
    auto read = load_config(config_.file);
    if (!read) return read.error();
    Reload reload = take_over(*current_.get(), *read);
    auto tokens = read_tokens(reload.config);
    if (!tokens) return tokens.error();
    auto tls = read_client_tls(reload.config);
    if (!tls) return tls.error();
    for (const Side side : {Side::source, Side::target}) {
        if (const Status again = dialer_->read_files_again(side); !again) return again.error();
    }
    set_log_level(reload.config.log_level);
    current_.set(reload.config);
    admin_->use(*tokens);
    listener_->use(services(std::move(*tls)));
    return reload;
}

void App::reload() {
    const auto reload = read_again();
    if (reload) return journal_.event("reload", tell_reload(*reload));
    spdlog::error("reload: {}", reload.error().detail);
    journal_.warning("reload", "nothing is changed: the log tells what is wrong with the files");
}

// Clients last: a change of authority that is under way ends first, because they wait for it.
void App::stop() {
    if (!started_) return;
    started_ = false;
    stopping_ = true;
    control_.run([this] {
        listener_->stop();
        http_->stop();
    });
    pilot_.stop();
    standing_blockers_.end_soon();
    const std::string verb = operator_.current_verb();
    if (verb == "verify" || verb == "repair" || verb == "start") mover_->stop();
    operator_.stop();
    mover_->stop();
    registry_.stop();
    reads_.stop();
    positions_.stop();
    standing_blockers_.stop();  // A server that hangs may keep it; by now that keeps nobody else.
}

}  // namespace

int run_app(const Config& config) {
    set_up_log(config.log_format, config.log_level);
    spdlog::info("segue {}: migration {}", SEGUE_VERSION, config.migration);
    const auto refused = [](const Error& error, int code) {
        spdlog::critical("{}", error.detail);
        return code;
    };
    auto tokens = read_tokens(config);
    if (!tokens) return refused(tokens.error(), configuration_error);
    auto tls = read_client_tls(config);
    if (!tls) return refused(tls.error(), configuration_error);
    ControlPlane control;
    auto dialer = Dialer::make(config.source, config.target, &config.credentials);
    if (!dialer) return refused(dialer.error(), configuration_error);
    for (const Side side : {Side::source, Side::target}) {
        const Status readable = (*dialer)->files_readable(side);
        if (!readable)
            spdlog::warn("no client reaches the {} until this is mended: {}",
                         name(side),
                         readable.error().detail);
    }
    App app{config, std::move(*dialer), control};
    control.on_hangup([&app] { app.reload(); });
    if (const Status started = app.start(std::move(*tls), *tokens); !started)
        return refused(started.error(), 1);
    if (config.move_percent > 0) {
        spdlog::warn("development: sessions are moved at random at {} % of their boundaries",
                     config.move_percent);
    }
    spdlog::info("run: ready");
    control.wait_for_signal();
    app.stop();
    control.stop();  // Before what its coroutines refer to.
    spdlog::info("stop: done");
    return 0;
}

}  // namespace segue::proxy
