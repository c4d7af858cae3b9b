#include "proxy/plan_file.hpp"

#include <fstream>
#include <iterator>
#include <optional>

#include "proxy/config_reader.hpp"
#include "proxy/first_line.hpp"

namespace segue::proxy {

using router::AutoPlan;
using router::Deed;
using router::Guardrails;
using router::PlanStep;
using router::Seconds;

namespace {

constexpr double day = 24 * 3600;
constexpr double watch_seconds_max = 366 * day;
constexpr std::int64_t samples_max = std::int64_t{1} << 40;
constexpr Deed deeds[] = {Deed::start,
                          Deed::verify,
                          Deed::mirror,
                          Deed::shadow,
                          Deed::shift,
                          Deed::rehearse,
                          Deed::cutover,
                          Deed::soak,
                          Deed::finish};

void read_seconds(
    ConfigReader& reader, std::string_view key, double lowest, double highest, Seconds& into) {
    if (const auto value = reader.number(key, lowest, highest)) into = Seconds{*value};
}

void read_count(ConfigReader& reader, std::string_view key, std::uint64_t& into) {
    if (const auto value = reader.whole(key, 0, samples_max))
        into = static_cast<std::uint64_t>(*value);
}

void read_guardrails(ConfigReader& reader, Guardrails& rails) {
    read_count(reader, "samples_min", rails.samples_min);
    read_count(reader, "differences_max", rails.differences_max);
    rails.error_rate_max = reader.number("error_rate_max", 0, 1).value_or(rails.error_rate_max);
    rails.fallback_rate_max =
        reader.number("fallback_rate_max", 0, 1).value_or(rails.fallback_rate_max);
    read_count(reader, "rate_samples_min", rails.rate_samples_min);
    rails.latency_ratio_max =
        reader.number("latency_ratio_max", 1, 1000).value_or(rails.latency_ratio_max);
    if (const auto slack = reader.number("latency_slack_ms", 0, day * 1000))
        rails.latency_slack = Seconds{*slack / 1000};
    read_seconds(reader, "lag_seconds_max", 0, day, rails.lag_max);
}

void read_plan(ConfigReader& reader, AutoPlan& plan) {
    reader.enter("plan");
    plan.name = reader.string("name").value_or("auto");
    read_seconds(reader, "interval_seconds", 0.1, 3600, plan.interval);
    read_seconds(reader, "window_seconds", 0.2, day, plan.window);
    if (plan.window < plan.interval * 2)
        reader.expected("window_seconds", "at least two times interval_seconds");
    if (plan.window > plan.interval * router::window_looks_max)
        reader.expected(
            "window_seconds",
            "at most " + std::to_string(router::window_looks_max) + " times interval_seconds");
    plan.breaches_max =
        static_cast<int>(reader.whole("breaches", 1, 1000).value_or(plan.breaches_max));
    read_seconds(reader, "retry_seconds", 0.1, day, plan.retry);
    plan.attempts_max =
        static_cast<std::uint32_t>(reader.whole("attempts", 1, 1000).value_or(plan.attempts_max));
    reader.leave();
}

void read_step(ConfigReader& reader, PlanStep& step) {
    std::vector<std::string_view> names;
    for (const Deed deed : deeds) names.push_back(name(deed));
    const std::size_t before = reader.complaints().size();
    const auto deed = reader.choice("do", names);
    if (!deed) {
        if (reader.complaints().size() == before)
            reader.expected("do", "what is to be done, such as \"verify\"");
        return;
    }
    step.deed = deeds[*deed];
    step.confirm = reader.boolean("confirm").value_or(false);
    if (step.deed == Deed::finish) {
        if (auto why = reader.string("accept_differing_reads")) {
            if (why->empty() || why->size() > router::acceptance_size_max)
                reader.expected("accept_differing_reads",
                                "a reason of 1 to " + std::to_string(router::acceptance_size_max) +
                                    " characters");
            step.accept_differing_reads = std::move(*why);
        }
    }
    if (is_watched(step.deed)) {
        const bool soak = step.deed == Deed::soak;
        const auto percent = reader.number("percent", 0, 100);
        if (!percent && !soak) reader.expected("percent", "a number above 0, up to 100");
        step.percent = percent.value_or(0);
        read_seconds(reader, "watch_seconds", 0, watch_seconds_max, step.watch);
        read_guardrails(reader, step.guardrails);
    }
    reader.leave();
}

Result<AutoPlan> read(const toml::table& root, const std::string& file) {
    AutoPlan plan;
    ConfigReader reader{root, file};
    read_plan(reader, plan);
    Guardrails rails;
    rails.samples_min = 1000;
    reader.enter("guardrails");
    read_guardrails(reader, rails);
    reader.leave();
    const std::size_t count = std::min(reader.list_size("step"), router::plan_steps_max + 1);
    for (std::size_t item = 0; item < count; ++item) {
        reader.enter_item("step", item);
        PlanStep step;
        step.guardrails = rails;
        read_step(reader, step);
        plan.steps.push_back(std::move(step));
    }
    if (count == 0 || count > router::plan_steps_max)
        reader.complain(
            "", "step", "expected 1 to " + std::to_string(router::plan_steps_max) + " of [[step]]");
    if (reader.complaints().empty()) {
        for (const router::PlanMistake& mistake : mistakes(plan)) {
            reader.enter_item("step", mistake.step);
            reader.expected(mistake.key, mistake.expected);
        }
    }
    reader.check_sections();
    if (reader.complaints().empty()) return plan;
    std::string all;
    for (const std::string& complaint : reader.complaints())
        all += (all.empty() ? "" : "\n") + complaint;
    return Error{Errc::bad_value, all};
}

}  // namespace

Result<AutoPlan> parse_plan(const std::string& text, const std::string& file) {
    try {
        return read(toml::parse(text), file);
    } catch (const toml::parse_error& error) {
        return Error{Errc::bad_value,
                     file + ":" + std::to_string(error.source().begin.line) +
                         ": not TOML: " + std::string{error.description()}};
    } catch (const std::exception& error) {
        return Error{Errc::bad_value, file + ": " + error.what()};
    }
}

Result<std::string> read_plan_file(const std::string& file) {
    if (const std::string why = why_unreadable(file); !why.empty())
        return Error{Errc::io, file + ": the plan cannot be read: " + why};
    std::ifstream input{file, std::ios::binary};
    std::string text(plan_size_max + 1, '\0');
    input.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(input.gcount()));
    if (text.size() > plan_size_max) {
        return Error{
            Errc::too_large,
            file + ": the plan is larger than " + std::to_string(plan_size_max) + " bytes"};
    }
    return text;
}

}  // namespace segue::proxy
