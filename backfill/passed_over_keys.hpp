#pragma once
// The rows of one table that the changes were about which it did not take, while they are passed
// over (backfill/postgres/pass_stopped.cpp): as many as can be copied again at once.

#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace segue::backfill {

inline constexpr std::size_t passed_over_keys_max = 1000;

class PassedOverKeys {
public:
    // As a verification lists them. Those above the limit are not kept, and that is remembered.
    void note(std::string key) {
        if (keys_.size() < passed_over_keys_max || keys_.contains(key)) {
            keys_.insert(std::move(key));
        } else {
            complete_ = false;
        }
    }
    std::vector<std::string> keys() const { return {keys_.begin(), keys_.end()}; }
    // False: there are rows that nobody has noted, and only comparing the table finds them.
    bool complete() const { return complete_; }
    // Whoever has mended so many of the keys, each as it stood, has mended all that there are.
    bool are_all(std::size_t mended) const { return complete_ && keys_.size() <= mended; }

private:
    std::set<std::string> keys_;
    bool complete_ = true;
};

}  // namespace segue::backfill
