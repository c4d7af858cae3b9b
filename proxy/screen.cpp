#include "proxy/screen.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "proxy/status.hpp"
#include "proxy/status_reads.hpp"
#include "router/counted.hpp"

namespace segue::proxy {

using nlohmann::json;

namespace {

constexpr std::size_t bar_width = 30;
constexpr std::size_t tables_shown_max = 12;
constexpr std::size_t pins_shown_max = 5;
constexpr std::size_t slower_shown_max = 5;
constexpr std::size_t blockers_shown_max = 10;

enum class Tone : std::uint8_t { good, bad, care, faint };

class Screen {
public:
    explicit Screen(Colours colours) : colours_(colours) {}

    std::string paint(Tone tone, const std::string& text) const {
        if (colours_ == Colours::off) return text;
        const char* code = "0";
        switch (tone) {
            case Tone::good:
                code = "32";
                break;
            case Tone::bad:
                code = "1;31";
                break;
            case Tone::care:
                code = "33";
                break;
            case Tone::faint:
                code = "2";
                break;
        }
        return "\033[" + std::string{code} + "m" + text + "\033[0m";
    }
    void line(std::string label, const std::string& text) {
        label.resize(std::max<std::size_t>(12, label.size()), ' ');
        out_ += label + text + "\n";
    }
    std::string take() { return std::move(out_); }

private:
    Colours colours_;
    std::string out_;
};

std::string scaled(double number, double step, const std::vector<const char*>& units) {
    std::size_t unit = 0;
    while (number >= step && unit + 1 < units.size()) {
        number /= step;
        ++unit;
    }
    char buffer[48];
    std::snprintf(buffer,
                  sizeof buffer,
                  unit == 0 || number >= 100 ? "%.0f%s" : "%.1f%s",
                  number,
                  units[unit]);
    return buffer;
}
std::string count(double number) { return scaled(number, 1000, {"", " k", " M", " G", " T"}); }
std::string count(double number, const char* one, const char* many) {
    return count(number) + " " + (number == 1 ? one : many);
}
std::string size(double bytes) { return scaled(bytes, 1024, {" B", " kB", " MB", " GB", " TB"}); }

std::string duration(double seconds) {
    char buffer[48];
    if (seconds < 1) {
        std::snprintf(buffer, sizeof buffer, "%.0f ms", seconds * 1000);
    } else if (seconds < 120) {
        std::snprintf(buffer, sizeof buffer, "%.0f s", seconds);
    } else if (seconds < 7200) {
        std::snprintf(buffer, sizeof buffer, "%.0f min", seconds / 60);
    } else {
        std::snprintf(buffer, sizeof buffer, "%.1f h", seconds / 3600);
    }
    return buffer;
}

template <class Format>
std::string or_unknown(const json& value, Format format) {
    return value.is_number() ? format(value.get<double>()) : "unknown";
}

std::string bar(double part) {
    const auto filled =
        static_cast<std::size_t>(std::lround(std::clamp(part, 0.0, 1.0) * bar_width));
    return "[" + std::string(filled, '#') + std::string(bar_width - filled, '.') + "]";
}

std::string percent(double part) {
    if (part >= 1) return "  100 %";
    char buffer[16];
    std::snprintf(buffer, sizeof buffer, "%5.1f %%", part * 100);
    return buffer;
}

std::string name_of(const json& table) {
    return table["schema"].get<std::string>() + "." + table["name"].get<std::string>();
}

// "41.2 %  1.2 M of ~3.0 M rows, 52 k rows/s, 34 s left" behind a bar.
std::string table_progress(const json& table, std::optional<double> rate) {
    const double copied = table["rows_copied"].get<double>();
    const json& total = table["rows_total_estimate"];
    std::string text;
    if (total.is_number() && total.get<double>() > 0) {
        const double part = std::min(1.0, copied / total.get<double>());
        text = bar(part) + percent(part) + "  ";
    }
    const auto estimate = [](double number) { return count(number); };
    text += count(copied) + " of ~" + or_unknown(total, estimate) + (total == 1 ? " row" : " rows");
    if (table["state"] == "loaded") return text + ", waits for its indexes";
    if (table["state"] == "indexing") return text + ", building its indexes";
    if (!rate || *rate <= 0) return text;
    text += ", " + count(*rate) + " rows/s";
    if (total.is_number() && total.get<double>() > copied)
        text += ", " + duration((total.get<double>() - copied) / *rate) + " left";
    return text;
}

// Those that are being copied or have stopped, and how many are not named.
void tables(Screen& screen, const json& all, const TableRates* rates) {
    std::vector<const json*> shown;
    std::size_t waiting = 0, done = 0, width = 0;
    for (const json& table : all) {
        const std::string state = table["state"];
        if (state == "waiting") {
            ++waiting;
        } else if (state == "consistent") {
            ++done;
        } else {
            shown.push_back(&table);
            width = std::max(width, name_of(table).size());
        }
    }
    const std::size_t busy = shown.size();
    shown.resize(std::min(shown.size(), tables_shown_max));
    for (const json* table : shown) {
        std::string name = name_of(*table);
        const std::optional<double> rate = rates == nullptr ? std::nullopt : rates->of(name);
        name.resize(std::max(width, name.size()), ' ');
        const bool stopped = (*table)["state"] == "stopped";
        screen.line("",
                    name + "  " + (stopped ? screen.paint(Tone::bad, "STOPPED  ") : "") +
                        table_progress(*table, rate));
    }
    std::string rest =
        counted(done, "table", "tables") + " done, " + std::to_string(waiting) + " waiting";
    if (busy > shown.size()) rest += ", " + std::to_string(busy - shown.size()) + " more at work";
    screen.line("", screen.paint(Tone::faint, rest));
}

void backfill(Screen& screen, const json& state, const TableRates* rates) {
    const std::string word =
        state["state"].is_string() ? state["state"].get<std::string>() : "unknown";
    std::string text = word;
    if (state["paused"] == true) text += screen.paint(Tone::care, "  PAUSED");
    const double copied = state["rows_copied"].is_number() ? state["rows_copied"].get<double>() : 0;
    if (word == "copying") {
        const json& total = state["rows_total_estimate"];
        if (total.is_number() && total.get<double>() > 0) {
            const double part = std::min(1.0, copied / total.get<double>());
            text += "  " + bar(part) + percent(part) + "  " + count(copied) + " of ~" +
                    count(total.get<double>(), "row", "rows");
        } else {
            text += "  " + count(copied, "row", "rows");
        }
        text += ", " + size(state["bytes_copied"].get<double>());
        const json& eta = state["eta_seconds"];
        if (eta.is_number() && eta.get<double>() > 0) {
            text += ", " + duration(eta.get<double>()) + " left";
            if (total.is_number() && total.get<double>() > copied) {
                text +=
                    " (" + count((total.get<double>() - copied) / eta.get<double>()) + " rows/s)";
            }
        }
    }
    screen.line("backfill", text);
    if (word != "copying") return;
    tables(screen, state["tables"], rates);
}

void mirror(Screen& screen, const json& state) {
    if (!state["mode"].is_string()) return screen.line("mirror", "unknown");
    std::string text = state["mode"];
    if (text == "off") return screen.line("mirror", text);
    text += " (" + state["policy"].get<std::string>() + ")";
    if (state["degraded"] == true) text += screen.paint(Tone::bad, "  DEGRADED");
    text += "  lag " + or_unknown(state["lag_bytes"], size) + ", " +
            or_unknown(state["lag_seconds"], duration);
    if (state["retained_log_bytes"].is_number())
        text += "  retained log " + size(state["retained_log_bytes"].get<double>());
    screen.line("mirror", text);
}

void reads(Screen& screen, const json& shadow, const json& statements, const json& shift) {
    const auto percent = [](const json& state) {
        return or_unknown(state["percent"], [](double number) {
            char buffer[32];
            std::snprintf(buffer, sizeof buffer, "%g %%", number);
            return std::string{buffer};
        });
    };
    if (shadow["percent"] > 0 || shadow["compared"] > 0) {
        const double different = shadow["different"].get<double>();
        const std::string differences = count(different) + " different";
        screen.line("shadow",
                    percent(shadow) + "  " + count(shadow["compared"].get<double>()) +
                        " compared, " +
                        (different > 0 ? screen.paint(Tone::bad, differences) : differences) +
                        ", " + count(shadow["unconfirmed"].get<double>()) + " unconfirmed, " +
                        count(shadow.value("timed", 0.0)) + " only timed, " +
                        count(shadow["shed"].get<double>()) + " shed");
    }
    for (const json& one : statements) {
        const auto rows = one.find("rows");
        const bool followed_up = rows != one.end() && rows->is_object();
        if (one["different"] == 0 && !followed_up) continue;
        const char* const what = one["different"] == 0 ? "  suspect" : "  differs";
        const char* const number = one["different"] == 0 ? "unconfirmed" : "different";
        screen.line(what,
                    count(one[number].get<double>()) + " of " +
                        count(one["compared"].get<double>()) + ": " +
                        one["statement"].get<std::string>());
        if (followed_up) screen.line("", screen.paint(Tone::bad, rows->value("text", "")));
    }
    std::size_t shown = 0;
    for (const json& one : shadow.value("slower", json::array())) {
        if (++shown > slower_shown_max) break;
        screen.line("  slower",
                    screen.paint(Tone::care, slowness_text(one)) + ", " +
                        one["fingerprint"].get<std::string>() + ": " +
                        one["statement"].get<std::string>());
    }
    if (shadow.value("slower_count", std::size_t{0}) > slower_shown_max)
        screen.line("", "... all of them: `segue statements`");
    if (shift["percent"] > 0 || shift["served_by_follower"] > 0) {
        const std::string by = shift.value("by", "statements"), limits = shift.value("limits", "");
        screen.line("shift",
                    percent(shift) + (by == "sessions" ? " of sessions" : "") +
                        (limits.empty() ? "" : ", only " + limits) + "  " +
                        count(shift["served_by_follower"].get<double>()) +
                        " answered by the follower, " + count(shift["fallbacks"].get<double>()) +
                        " by the authority after all");
    }
}

void sessions(Screen& screen, const json& state) {
    std::string text = count(state["total"].get<double>());
    if (state["held"] > 0)
        text += screen.paint(Tone::care, ", " + count(state["held"].get<double>()) + " held");
    if (state["pinned"] > 0)
        text += screen.paint(Tone::care, ", " + count(state["pinned"].get<double>()) + " pinned:");
    screen.line("sessions", text);
    std::size_t shown = 0;
    for (const json& pin : state["pins"]) {
        if (++shown > pins_shown_max) {
            screen.line("", "...");
            break;
        }
        screen.line(
            "",
            "pid " + std::to_string(pin["pid"].get<int>()) + ": " + pin["why"].get<std::string>());
    }
}

void way_back(Screen& screen, const json& status) {
    if (!status["rollback_ready"].is_boolean()) return screen.line("way back", "unknown");
    if (status["rollback_ready"] == true)
        return screen.line("way back", screen.paint(Tone::good, "open"));
    if (status["finished"] == true) return;
    screen.line("way back", screen.paint(Tone::care, "not ready"));
    std::size_t shown = 0;
    for (const json& blocker : status["rollback_blockers"]) {
        if (++shown > blockers_shown_max) {
            const std::size_t more = status["rollback_blockers"].size() - blockers_shown_max;
            screen.line("", "and " + std::to_string(more) + " more: `segue status --json`");
            break;
        }
        screen.line("", blocker.get<std::string>());
    }
}

void autopilot(Screen& screen, const json& status) {
    const auto found = status.find("auto");
    if (found == status.end() || !found->is_object()) return;
    const json& state = *found;
    if (state["state"] == "unknown") {
        screen.line("auto", screen.paint(Tone::care, state["reason"].get<std::string>()));
        return;
    }
    std::string text = state["plan"].get<std::string>() + ", ";
    if (state["state"] == "done") return screen.line("auto", text + "through");
    text += "step " + std::to_string(state["step_number"].get<std::size_t>()) + " of " +
            std::to_string(state["steps"].get<std::size_t>()) + ", " +
            state["step"].get<std::string>() + ": ";
    const std::string outcome = state["outcome"];
    const bool paused = state["paused"] == true;
    text += paused              ? screen.paint(Tone::care, "PAUSED")
            : outcome == "back" ? screen.paint(Tone::bad, "going back")
                                : outcome;
    screen.line("auto", text);
    screen.line("", state["reason"].get<std::string>());
}

void last(Screen& screen, const json& status) {
    if (const json& change = status["last_change"]; change.is_object()) {
        const auto wait = [](double ms) { return duration(ms / 1000); };
        const bool given_up = change["kind"] == "abort";
        std::string text =
            given_up ? screen.paint(Tone::care, "given up ")
                     : change["kind"].get<std::string>() +
                           (change["ok"] == true ? " " : screen.paint(Tone::care, " failed "));
        text += "at " + change["at"].get<std::string>();
        if (change["hold_ms"].is_number())
            text += ", hold " + wait(change["hold_ms"].get<double>()) + ", longest wait " +
                    or_unknown(change["longest_wait_ms"], wait);
        screen.line("last change", text);
        if (change["reason"].is_string()) screen.line("", change["reason"].get<std::string>());
    }
    const json& verify = status["verify"];
    if (verify["state"] != "never") {
        std::string text = verify["state"];
        if (text == "different") text = screen.paint(Tone::bad, text);
        text += ", " + count(verify["rows_compared"].get<double>(), "row", "rows") + " compared, " +
                count(verify["differences"].get<double>(), "difference", "differences");
        if (verify["at"].is_string()) text += ", at " + verify["at"].get<std::string>();
        // A process that was started before an upgrade does not tell it.
        const auto since = verify.find("every_row_verified_since");
        if (since != verify.end() && since->is_string())
            text += "; every row since " + since->get<std::string>();
        screen.line("verify", text);
    }
}

// Where the move stands, in the order of its verbs.
const char* phase(const json& status) {
    if (!status["authority"].is_string()) return "not known";
    if (status["finished"] == true) return "finished";
    const json& copy = status["backfill"]["state"];
    if (copy == "copying") return "copying";
    if (copy != "consistent") return "not started, clients are relayed";
    if (status["authority"] == "target") return "cut over, the way back is kept";
    if (status["shift"]["percent"] > 0) return "reads are shifted";
    if (status["shadow"]["percent"] > 0) return "reads are compared";
    return status["mirror"]["mode"] == "sync" ? "mirrored" : "following";
}

// What somebody has decided not to mind stays in sight.
void accepted(Screen& screen, const json& status) {
    const auto list = status.find("accepted_findings");
    if (list == status.end()) return;
    for (const json& one : *list) {
        const std::string reason = one["reason"];
        screen.line("accepted",
                    one["code"].get<std::string>() + " of " + one["object"].get<std::string>() +
                        (reason.empty() ? "" : ": " + reason));
    }
}

void complete(json& status, const json& whole) {
    for (const auto& [key, value] : whole.items()) {
        const auto found = status.find(key);
        if (found == status.end()) {
            status[key] = value;
        } else if (found->is_object() && value.is_object()) {
            complete(*found, value);
        }
    }
}

// What another build does not tell is as unknown as at the start.
json completed(json status) {
    StatusInputs inputs;
    const json unknown = status_json(inputs);
    for (const auto& [key, value] : unknown.items()) {
        if (!status.contains(key)) status[key] = value;
    }
    // Of what is there only now and then, and is there.
    inputs.board.last_change.emplace();
    inputs.autopilot.emplace();
    complete(status, status_json(inputs));
    return status;
}

}  // namespace

std::string status_screen(const json& told, Colours colours, const TableRates* rates) {
    const json status = completed(told);
    Screen screen{colours};
    screen.line("migration", status["migration"].get<std::string>() + ": " + phase(status));
    if (status["authority"].is_string()) {
        const json& epoch = status["epoch"];
        std::string text = status["authority"].get<std::string>() + ", epoch " +
                           (epoch.is_number() ? epoch.dump() : "unknown");
        if (status["finished"] == true) text += screen.paint(Tone::good, "  finished");
        screen.line("authority", text);
    } else {
        screen.line("authority", screen.paint(Tone::bad, "not known yet: clients wait"));
    }
    if (const auto verb = status.find("running_verb"); verb != status.end() && verb->is_string()) {
        screen.line("running", screen.paint(Tone::care, verb->get<std::string>()));
    }
    backfill(screen, status["backfill"], rates);
    mirror(screen, status["mirror"]);
    reads(screen, status["shadow"], status["shadow_statements"], status["shift"]);
    sessions(screen, status["sessions"]);
    autopilot(screen, status);
    way_back(screen, status);
    last(screen, status);
    accepted(screen, status);
    for (const json& warning : status["warnings"]) {
        screen.line(screen.paint(Tone::bad, "WARNING") + "     ",
                    warning["text"].get<std::string>());
    }
    return screen.take();
}

}  // namespace segue::proxy
