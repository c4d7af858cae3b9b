#include "router/plan.hpp"

#include <cstdio>

namespace segue::router {

namespace {

class Checker {
public:
    explicit Checker(const AutoPlan& plan) : plan_(plan) {}

    std::vector<PlanMistake> check() {
        for (at_ = 0; at_ < plan_.steps.size(); ++at_) look(plan_.steps[at_]);
        return std::move(found_);
    }

private:
    void expected(const char* key, std::string what) {
        found_.push_back({at_, key, std::move(what)});
    }

    void look(const PlanStep& step) {
        if (finished_) expected("do", "no step after finish");
        if (is_watched(step.deed) && step.watch < plan_.window) {
            expected("watch_seconds",
                     "at least window_seconds (" + plain(plan_.window.count()) +
                         "): a figure that goes silent would not be noticed");
        }
        switch (step.deed) {
            case Deed::start:
                if (at_ > 0) expected("do", "start as the first step only");
                break;
            case Deed::verify:
            case Deed::mirror:
            case Deed::rehearse:
                break;
            case Deed::shadow:
                rising(step.percent, shadow_);
                break;
            case Deed::shift:
                rising(step.percent, shift_);
                break;
            case Deed::cutover:
                if (changed_) expected("do", "one cutover");
                changed_ = true;
                break;
            case Deed::soak:
                if (at_ == 0 || plan_.steps[at_ - 1].deed != Deed::cutover)
                    expected("do", "soak right after cutover: it watches that");
                break;
            case Deed::finish:
                if (!changed_) expected("do", "finish after cutover");
                finished_ = true;
                break;
        }
    }

    // Where a migration stands is told by its percentages.
    void rising(double percent, double& before) {
        if (changed_)
            expected("do", "no such step after cutover; a soak has `percent` for comparing");
        if (percent <= before)
            expected("percent", "more than in the step before (" + plain(before) + ")");
        before = percent;
    }

    const AutoPlan& plan_;
    std::vector<PlanMistake> found_;
    std::size_t at_ = 0;
    double shadow_ = 0, shift_ = 0;
    bool changed_ = false, finished_ = false;
};

}  // namespace

std::string plain(double number) {
    char buffer[48];
    std::snprintf(buffer, sizeof buffer, "%.4g", number);
    return buffer;
}

std::string title(const PlanStep& step) {
    std::string text{name(step.deed)};
    if (step.deed == Deed::mirror) text += " sync";
    if (step.deed == Deed::shadow || step.deed == Deed::shift)
        text += " " + plain(step.percent) + " %";
    return text;
}

std::vector<PlanMistake> mistakes(const AutoPlan& plan) { return Checker{plan}.check(); }

}  // namespace segue::router
