#include "protocol/postgres/read_request.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace segue::protocol::postgres {
namespace {

template <class... Messages>
std::string wire(const Messages&... messages) {
    std::string output;
    (append(output, messages), ...);
    return output;
}
std::string synced(std::string output) {
    append_sync(output);
    return output;
}

const Parse parse{"", "SELECT 1", {23}};
const Bind bind{"", "", {}, {}, {}};
const Bind bind_named{"", "s", {}, {}, {}};
const Describe describe{'P', ""};
const Execute execute{"", 0};

TEST(ReadRequest, IsOneQueryOrOneExecutionEndingInItsOnlySync) {
    const std::string query = wire(Query{"SELECT 1"});
    ASSERT_TRUE(recognise_read_request(bytes(query)));
    EXPECT_TRUE(recognise_read_request(bytes(query))->simple);
    EXPECT_EQ(recognise_read_request(bytes(query))->text(), "SELECT 1");

    const std::string named = synced(wire(bind_named, describe, execute));
    ASSERT_TRUE(recognise_read_request(bytes(named)));
    EXPECT_EQ(recognise_read_request(bytes(named))->bind.statement, "s");
    EXPECT_EQ(recognise_read_request(bytes(named))->text(), std::nullopt);

    for (const std::string& request :
         {synced(wire(parse, bind, execute)),
          synced(wire(parse, Describe{'S', ""}, bind, describe, execute, Close{'P', ""})),
          synced(wire(bind, execute))}) {
        EXPECT_TRUE(recognise_read_request(bytes(request)));
    }
}

TEST(ReadRequest, NothingElseIsOne) {
    const std::vector<std::string> others = {
        "",
        wire(parse, bind, execute),
        synced(""),
        synced(wire(parse)),
        synced(wire(parse, Describe{'S', ""})),
        synced(wire(Parse{"s", "SELECT 1", {}}, bind_named, execute)),
        synced(wire(parse, bind_named, execute)),
        synced(wire(bind, execute, execute)),
        synced(wire(bind, bind, execute)),
        synced(wire(bind, Execute{"", 5})),
        synced(wire(Bind{"p", "", {}, {}, {}}, Execute{"p", 0})),
        synced(wire(bind, execute, Close{'S', "s"})),
        synced(synced(wire(bind, execute))),
        synced(wire(bind, execute)) + wire(Query{"SELECT 1"}),
        wire(Query{"SELECT 1"}, Query{"SELECT 2"}),
        synced(wire(Query{"SELECT 1"})),
        wire(bind) + "H\0\0\0\x04" + synced(wire(execute)),
        std::string("X\0\0\0\x04", 5),
        std::string("F\0\0\0\x04", 5),
        std::string("Q\0\0\0\x03", 5)};
    for (const std::string& request : others)
        EXPECT_FALSE(recognise_read_request(bytes(request))) << request;
}

TEST(ReadRequest, APartOfOneIsNone) {
    const std::string whole = synced(wire(parse, bind, describe, execute));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_FALSE(recognise_read_request(bytes(whole).first(size))) << size;
    }
}

}  // namespace
}  // namespace segue::protocol::postgres
