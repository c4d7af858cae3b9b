#pragma once
// The twins that a verification reads, so that it can be made to give way in the middle of a long
// statement.

#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "backfill/postgres/twin.hpp"

namespace segue::backfill::postgres {

class TwinsInUse {
public:
    // Outlived by this.
    std::unique_ptr<TableTwin> watch(std::unique_ptr<PostgresTwin> twin) {
        return std::make_unique<Watched>(*this, std::move(twin));
    }
    // Any thread: statements that run on them end with an error.
    void cancel() const {
        const std::lock_guard lock{mutex_};
        for (const PostgresTwin* twin : twins_) twin->cancel();
    }

private:
    class Watched final : public TableTwin {
    public:
        Watched(TwinsInUse& all, std::unique_ptr<PostgresTwin> twin)
            : all_(all), twin_(std::move(twin)) {
            const std::lock_guard lock{all_.mutex_};
            all_.twins_.insert(twin_.get());
        }
        ~Watched() override {
            const std::lock_guard lock{all_.mutex_};
            all_.twins_.erase(twin_.get());
        }
        Result<std::vector<Row>> query(Side side,
                                       const std::string& sql,
                                       const std::vector<std::optional<std::string>>& parameters,
                                       std::size_t rows_max) override {
            return twin_->query(side, sql, parameters, rows_max);
        }
        Result<std::vector<Row>> ask(Side side,
                                     const SessionRead& read,
                                     std::size_t rows_max) override {
            return twin_->ask(side, read, rows_max);
        }
        Result<AnswerDigest> digest(Side side, const SessionRead& read) override {
            return twin_->digest(side, read);
        }
        Status renew(const std::vector<Table>& tables, Clock::time_point deadline) override {
            return twin_->renew(tables, deadline);
        }
        Status release() override { return twin_->release(); }
        Position position(Side side) const override { return twin_->position(side); }

    private:
        TwinsInUse& all_;
        std::unique_ptr<PostgresTwin> twin_;
    };

    mutable std::mutex mutex_;
    std::set<const PostgresTwin*> twins_;
};

}  // namespace segue::backfill::postgres
