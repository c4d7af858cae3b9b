// Random schemas under random transactions, moved there and back, with SEGUE_SCHEMA_CHANGES=1 while
// their schema changes. Afterwards both databases are
// equal row by row, `verify` says so, and every acknowledged transaction is there. Schema and
// transactions follow from a seed: SEGUE_RANDOM_SEED (1) is the first, SEGUE_RANDOM_LIVES (2) how
// many, and SEGUE_RANDOM_CHANGES (1) how often each goes there and back.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "tests/random/clients.hpp"
#include "tests/support/migration.hpp"
#include "tests/support/schema_changes.hpp"
#include "tests/support/who_waits.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr auto goal_limit = 300s;
constexpr unsigned transactions_between = 40;

unsigned setting(const char* name, unsigned otherwise) {
    const char* const text = std::getenv(name);
    return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

MigrationOptions options() {
    MigrationOptions options;
    options.workload_schema = false;
    if (schema_changes_wanted()) options.lines = {{"ddl", "carry = true"}};
    return options;
}

// Those that have no descendants and are none, so that a column may come and go by itself.
std::vector<std::string> changeable(const RandomSchema& schema) {
    constexpr std::size_t enough = 4;
    std::vector<std::string> names;
    for (const RandomTable& table : schema.tables) {
        const bool alone =
            std::none_of(schema.ddl.begin(), schema.ddl.end(), [&](const std::string& sql) {
                return sql.find(table.name) != std::string::npos &&
                       (sql.find("INHERITS") != std::string::npos ||
                        sql.find("UNLOGGED") != std::string::npos);
            });
        if (alone && table.name.starts_with("app.") && names.size() < enough)
            names.push_back(table.name);
    }
    return names;
}

SchemaChangesOptions changes(const RandomSchema& schema, const Migration& move, unsigned seed) {
    SchemaChangesOptions options{move.through(), changeable(schema)};
    options.functions = false;
    options.seed = seed;
    return options;
}

class RandomLife {
public:
    explicit RandomLife(unsigned seed)
        : folder_(make_folder("segue-random")),
          dice_(seed),
          schema_(random_schema(dice_)),
          move_(options()),
          clients_(schema_, {move_.through(), seed, 3, folder_}),
          changes_(changes(schema_, move_, seed)) {}
    ~RandomLife() {
        clients_.stop();
        changes_.stop();
        if (testing::Test::HasFailure()) {
            std::cout << "schema and statements are in " << folder_ << std::endl;
            return;
        }
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    void live() {
        make_schema();
        move_.segue().run();
        accept_remedies();
        if (testing::Test::HasFailure()) return;
        clients_.start();
        ASSERT_TRUE(clients_.wait_for_more(20)) << vain();
        move_.segue().expect_done({"start"});
        if (schema_changes_wanted()) changes_.start();
        ASSERT_TRUE(move_.segue().wait_consistent(goal_limit));
        changes_.may_rename();
        ASSERT_TRUE(clients_.wait_for_more(transactions_between)) << vain();
        ASSERT_TRUE(done({"mirror", "sync"}));
        ASSERT_TRUE(clients_.wait_for_more(transactions_between)) << vain();
        ASSERT_TRUE(done({"verify"}));
        for (unsigned i = 0; i < setting("SEGUE_RANDOM_CHANGES", 1); ++i) {
            for (const char* verb : {"cutover", "rollback"}) {
                ASSERT_TRUE(done({verb}));
                ASSERT_TRUE(clients_.wait_for_more(transactions_between)) << vain();
            }
        }
        clients_.stop();
        changes_.stop();
        EXPECT_EQ(complaints(), "");
        expect_right();
    }

private:
    // As the owner. What is random may break a constraint of its own.
    void make_schema() {
        std::ofstream file{folder_ / "schema.sql"};
        Sql owner{move_.source().socket_url("shop", "app")};
        const auto run = [&](const std::string& sql) {
            const Answer answer = owner.attempt(sql);
            file << sql << ";" << (answer.ok ? "" : "  -- " + answer.sqlstate) << std::endl;
            if (!answer.ok && !sql.starts_with("INSERT"))
                ADD_FAILURE() << sql << "\n  " << answer.message;
        };
        for (const std::string& sql : schema_.ddl) run(sql);
        for (const RandomTable& table : schema_.tables) {
            for (unsigned i = 0; i < table.rows; ++i) run(insert_row(dice_, table));
        }
        run("CREATE TABLE app.done (client int, number bigint, PRIMARY KEY (client, number))");
        if (schema_changes_wanted())
            SchemaChanges::prepare(move_.source().socket_url("shop", "app"));
        run("ANALYZE");
    }

    // What `check` refuses is mended as it says, until it is content.
    void accept_remedies() {
        constexpr int rounds = 3;
        Sql owner{move_.source().socket_url("shop", "app")};
        for (int round = 0; round < rounds; ++round) {
            const CommandResult result = move_.segue().verb({"check", "--json"});
            if (result.exit_code == 0) return;
            const json report = json::parse(result.out, nullptr, false);
            ASSERT_FALSE(report.is_discarded()) << result.out << result.err;
            for (const json& finding : report["findings"]) {
                if (finding["severity"] != "fail") continue;
                std::ofstream{folder_ / "schema.sql", std::ios::app}
                    << finding["remedy"].get<std::string>() << std::endl;
                owner.query(finding["remedy"].get<std::string>());
            }
        }
        ADD_FAILURE() << move_.segue().verb({"check"}).out;
    }

    // An operator tries again what a busy machine refuses.
    bool done(const std::vector<std::string>& verb) {
        CommandResult last;
        const bool reached = eventually(goal_limit, [&] {
            last = move_.segue().verb(verb);
            return last.exit_code == 0 || verb[0] == "verify" || !clients_.complaints().empty();
        });
        if (!reached || last.exit_code != 0)
            ADD_FAILURE() << verb[0] << ": " << last.out << last.err << vain();
        return last.exit_code == 0;
    }

    // Of those that have waited for the clients' progress.
    std::string vain() {
        const auto status = move_.segue().status();
        return complaints() + (status ? status->dump(1) : "no status") + "\n" +
               who_waits(move_.source()) + who_waits(move_.target());
    }

    std::string complaints() const {
        std::string text;
        for (const std::string& one : clients_.complaints()) text += one + "\n";
        for (const std::string& one : changes_.complaints()) text += one + "\n";
        return text;
    }

    void expect_right() {
        move_.expect_equal_soon(goal_limit);
        if (testing::Test::HasFailure()) return;
        EXPECT_TRUE(done({"verify"}));
        clients_.expect_all_there(move_.superuser(move_.source()));
        for (const std::string& difference :
             compare_catalogs(move_.superuser(move_.source()), move_.superuser(move_.target())))
            ADD_FAILURE() << difference;
        if (!schema_changes_wanted()) return;
        std::cout << "           " << changes_.committed() << " changes of the schema" << std::endl;
        changes_.expect_right(move_.superuser(move_.source()));
        for (const std::string& difference : compare_dumps(move_.source(), move_.target(), "shop"))
            ADD_FAILURE() << difference;
    }

    std::filesystem::path folder_;
    Dice dice_;
    RandomSchema schema_;
    Migration move_;
    RandomClients clients_;
    SchemaChanges changes_;
};

TEST(RandomLives, EndWithTwoEqualDatabases) {
    SEGUE_NEEDS_POSTGRES();
    const unsigned first = setting("SEGUE_RANDOM_SEED", 1),
                   lives = setting("SEGUE_RANDOM_LIVES", 2);
    for (unsigned seed = first; seed < first + lives; ++seed) {
        SCOPED_TRACE("SEGUE_RANDOM_SEED=" + std::to_string(seed));
        std::cout << "           seed " << seed << std::endl;
        RandomLife{seed}.live();
        if (testing::Test::HasFailure()) return;
    }
}

}  // namespace
}  // namespace segue::test
