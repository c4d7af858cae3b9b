// Both ends of SCRAM against any peer. Input := byte (who we are), message, newline, message.

#include <string>

#include "protocol/postgres/scram.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "sn,,n=,r=client\nc=biws,r=clientserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="sv,
        "sy,,n=u,r=x\nc=eSws,r=xserver,p=AAAA"sv,
        "cr=clientserver,s=c2FsdA==,i=4096\nv=AAAA"sv,
        "ce=other-error\nv="sv,
        "vSCRAM-SHA-256$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view input = fuzz::text_of(data + 1, size - 1);
    const std::size_t newline = input.find('\n');
    const std::string_view first = input.substr(0, newline);
    const std::string_view second =
        newline == std::string_view::npos ? std::string_view{} : input.substr(newline + 1);
    const ScramVerifier verifier{4096, "salt", std::string(32, 's'), std::string(32, 'k')};
    switch (data[0]) {
        case 's': {
            ScramServer server{verifier, "server", ""};
            // A proof that fits cannot be found by chance.
            if (server.first(scram_mechanism, first)) fuzz::require(!server.finish(second));
            break;
        }
        case 'c': {
            ScramSecret secret;  // Keys, so that no input makes us derive one from a password.
            secret.client_key = std::string(32, 'c');
            secret.server_key = std::string(32, 'k');
            secret.salt = "salt";
            secret.iterations = 4096;
            ScramClient client{secret, "client", "", false};
            if (client.finish(first)) fuzz::require(!client.check(second));
            break;
        }
        default: {
            const auto parsed = parse_scram_verifier(input);
            if (parsed)
                fuzz::require(parsed->iterations > 0 && parsed->iterations <= scram_iterations_max);
            break;
        }
    }
    return 0;
}
