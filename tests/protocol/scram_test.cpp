#include "protocol/postgres/scram.hpp"

#include <gtest/gtest.h>

#include <string>

#include "protocol/crypto.hpp"

namespace segue::protocol::postgres {
namespace {

// RFC 7677, section 3: user "user", password "pencil".
constexpr const char* rfc_client_nonce = "rOprNGfwEbeRWgbNEkqO";
constexpr const char* rfc_server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr const char* rfc_client_final =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+"
    "Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr const char* rfc_server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

ScramVerifier verifier_of(const std::string& password, const std::string& salt, int iterations) {
    const std::string salted = crypto::pbkdf2_sha256(password, salt, iterations);
    return {iterations,
            salt,
            crypto::sha256(crypto::hmac_sha256(salted, "Client Key")),
            crypto::hmac_sha256(salted, "Server Key")};
}
ScramVerifier rfc_verifier() {
    return verifier_of("pencil", *crypto::from_base64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
}

TEST(Scram, ServerFollowsTheVectorOfTheRfcAndRecoversTheClientKey) {
    ScramServer server{rfc_verifier(), rfc_server_nonce, ""};
    const auto challenge =
        server.first(scram_mechanism, std::string{"n,,n=user,r="} + rfc_client_nonce);
    ASSERT_TRUE(challenge);
    EXPECT_EQ(
        *challenge,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    const auto proof = server.finish(rfc_client_final);
    ASSERT_TRUE(proof) << proof.error().detail;
    EXPECT_EQ(proof->server_final, rfc_server_final);
    EXPECT_EQ(crypto::sha256(proof->client_key), rfc_verifier().stored_key);
}

// Runs both our ends against each other; what the client says may be bent on the way.
struct Exchange {
    ScramSecret secret = {};
    ScramVerifier verifier = rfc_verifier();
    std::string client_binding = {}, server_binding = {};
    bool plus_refused = false;

    Result<ScramProof> run() {
        ScramClient client{secret, "clientnonce", client_binding, plus_refused};
        ScramServer server{verifier, "servernonce", server_binding};
        const auto challenge = server.first(client.mechanism(), client.first());
        if (!challenge) return challenge.error();
        const auto last = client.finish(*challenge);
        if (!last) return last.error();
        auto proof = server.finish(*last);
        if (!proof) return proof.error();
        const Status proved = client.check(proof->server_final);
        if (!proved) return proved.error();
        return proof;
    }
};

TEST(Scram, TheRecoveredKeysLogInAgainWhereTheVerifierIsTheSame) {
    Exchange first{.secret = {.password = "pencil"}};
    const auto proof = first.run();
    ASSERT_TRUE(proof) << proof.error().detail;
    const ScramVerifier verifier = rfc_verifier();
    Exchange again{
        .secret = {{}, proof->client_key, verifier.server_key, verifier.salt, verifier.iterations}};
    EXPECT_TRUE(again.run());
    again.client_binding = again.server_binding = "hash of a certificate";
    EXPECT_TRUE(again.run());
    again.verifier = verifier_of("pencil", "another salt", 4096);
    const auto other = again.run();
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Errc::refused);
}

TEST(Scram, RefusesWrongPasswordsUnknownUsersAndDowngrades) {
    EXPECT_EQ((Exchange{.secret = {.password = "wrong"}}).run().error().code, Errc::refused);
    EXPECT_EQ(
        (Exchange{.secret = {.password = "pencil"}, .verifier = mock_scram_verifier("nobody", "k")})
            .run()
            .error()
            .code,
        Errc::refused);
    // Offered, but the client was told that it was not: somebody is between us.
    EXPECT_FALSE(
        (Exchange{.secret = {.password = "pencil"}, .server_binding = "hash", .plus_refused = true})
            .run());
    EXPECT_FALSE(
        (Exchange{
             .secret = {.password = "pencil"}, .client_binding = "other", .server_binding = "hash"})
            .run());
    EXPECT_FALSE((Exchange{.secret = {.password = "pencil"}, .client_binding = "hash"}).run());
    EXPECT_TRUE(
        (Exchange{
             .secret = {.password = "pencil"}, .client_binding = "hash", .server_binding = "hash"})
            .run());
}

TEST(Scram, MockVerifiersAreSteadyAndDiffer) {
    EXPECT_EQ(mock_scram_verifier("a", "key"), mock_scram_verifier("a", "key"));
    EXPECT_NE(mock_scram_verifier("a", "key").salt, mock_scram_verifier("b", "key").salt);
}

TEST(Scram, RejectsMalformedMessages) {
    for (const char* first : {"",
                              "n",
                              "n,,",
                              "n,,n=u",
                              "n,,r=x",
                              "n,,n=u,r=",
                              "n,a=b,n=u,r=x",
                              "p=tls-unique,,n=u,r=x",
                              "x,,n=u,r=x"}) {
        SCOPED_TRACE(first);
        ScramServer server{rfc_verifier(), "s", ""};
        EXPECT_FALSE(server.first(scram_mechanism, first));
    }
    for (const char* last : {"",
                             "c=biws",
                             "c=biws,r=cs",
                             "c=biws,r=cs,p=",
                             "c=biws,r=cs,p=!!!!",
                             "c=eSws,r=cs,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                             "c=biws,r=other,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="}) {
        SCOPED_TRACE(last);
        ScramServer server{rfc_verifier(), "s", ""};
        ASSERT_TRUE(server.first(scram_mechanism, "n,,n=,r=c"));
        EXPECT_FALSE(server.finish(last));
    }
    const ScramSecret secret{.password = "pencil"};
    for (const char* challenge : {"",
                                  "r=c",
                                  "r=cs,s=!,i=1",
                                  "r=cs,s=AAAA,i=0",
                                  "r=cs,s=AAAA,i=99999999",
                                  "r=cs,s=AAAA,i=1x",
                                  "r=xs,s=AAAA,i=1",
                                  "r=c,s=AAAA,i=1"}) {
        SCOPED_TRACE(challenge);
        ScramClient client{secret, "c", "", false};
        EXPECT_FALSE(client.finish(challenge));
    }
}

TEST(Scram, ReadsStoredVerifiers) {
    const auto verifier = parse_scram_verifier(
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
    ASSERT_TRUE(verifier);
    EXPECT_EQ(*verifier, rfc_verifier());
    for (const char* stored : {"",
                               "md5aaaa",
                               "SCRAM-SHA-256$",
                               "SCRAM-SHA-256$x:AAAA$AAAA:AAAA",
                               "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA"}) {
        EXPECT_FALSE(parse_scram_verifier(stored)) << stored;
    }
}

TEST(Md5, AnswersAsTheServerExpects) {
    const std::string stored = md5_stored("pencil", "user");
    EXPECT_TRUE(is_md5_stored(stored));
    EXPECT_EQ(stored, "md5" + crypto::md5_hex("penciluser"));
    EXPECT_EQ(md5_response(stored, "salt"), "md5" + crypto::md5_hex(stored.substr(3) + "salt"));
    EXPECT_FALSE(is_md5_stored("md5nothex"));
}

}  // namespace
}  // namespace segue::protocol::postgres
