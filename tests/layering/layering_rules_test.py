#!/usr/bin/env python3
"""Each rule of layering.py is shown a source that breaks it, and one beside it that does not."""

import unittest

import layering


def reasons(path, text):
    return [reason for _, reason in layering.check(path, text, lambda name: not name.startswith("../"))]


class Layering(unittest.TestCase):
    def refuse(self, path, text, part):
        found = reasons(path, text)
        self.assertTrue(any(part in reason for reason in found), f"{path}: {text!r} gave {found}")

    def accept(self, path, text):
        self.assertEqual(reasons(path, text), [], f"{path}: {text!r}")

    def test_the_arrow(self):
        for path, included in [("protocol/a.hpp", "router/side.hpp"), ("protocol/postgres/a.cpp", "backfill/change.hpp"),
                               ("router/a.cpp", "backfill/control.hpp"), ("backfill/a.cpp", "proxy/config.hpp")]:
            self.refuse(path, f'#include "{included}"\n', "the arrow points the other way")
        self.accept("proxy/a.cpp", '#include "backfill/postgres/b.hpp"\n#include "router/side.hpp"\n')
        self.accept("router/a.cpp", '#include "protocol/result.hpp"\n')

    def test_engines(self):
        self.refuse("router/a.cpp", '#include "protocol/postgres/framer.hpp"\n', "router knows no engine")
        self.refuse("backfill/a.cpp", '#include "backfill/postgres/b.hpp"\n', "knows no engine")
        self.refuse("backfill/a.cpp", '#include "protocol/postgres/b.hpp"\n', "knows no engine")
        self.refuse("protocol/a.hpp", '#include "protocol/postgres/b.hpp"\n', "knows no engine")
        self.refuse("protocol/redis/a.cpp", '#include "protocol/postgres/b.hpp"\n', "engines do not know each other")
        self.refuse("backfill/redis/a.cpp", '#include "protocol/postgres/b.hpp"\n', "engines do not know each other")
        self.accept("backfill/postgres/a.cpp", '#include "protocol/postgres/b.hpp"\n')
        self.accept("backfill/registry.cpp", '#include "backfill/postgres/b.hpp"\n')

    def test_paths_and_libraries(self):
        self.refuse("router/a.cpp", '#include "../protocol/result.hpp"\n', "from the root")
        self.refuse("proxy/a.cpp", '#include "tests/support/sql.hpp"\n', "not production code")
        for path, included in [("protocol/a.cpp", "boost/asio.hpp"), ("backfill/a.cpp", "libpq-fe.h"),
                               ("backfill/postgres/a.cpp", "spdlog/spdlog.h"), ("protocol/postgres/a.cpp", "pg_query.h"),
                               ("router/a.cpp", "thread"), ("protocol/postgres/a.cpp", "sys/socket.h"),
                               ("protocol/postgres/scram.cpp", "openssl/hmac.h")]:
            self.refuse(path, f"#include <{included}>\n", "does not belong here")
        self.accept("backfill/postgres/a.cpp", "#include <libpq-fe.h>\n#include <mutex>\n")

    def test_length(self):
        self.refuse("tests/a.cpp", "\n" * 501, "the limit is 500")
        self.accept("tests/a.cpp", "\n" * 500)

    def test_forbidden_calls(self):
        self.refuse("proxy/a.cpp", "int x = std::system(command);\n", "without a shell")
        self.refuse("proxy/a.cpp", "int x = ::system(command);\n", "without a shell")
        self.refuse("proxy/a.cpp", "co_spawn(x, f(), asio::detached);\n", "hides exceptions")
        self.accept("proxy/a.cpp", "// std::system( and asio::detached are forbidden\nerror::system();\n")

    def test_default_over_our_enumerations(self):
        ours = "switch (x) {\n case Phase::steady: return 1;\n default: return 2;\n}\n"
        self.refuse("router/a.cpp", ours, "default:")
        self.refuse("router/a.cpp", ours.replace("Phase", "router::Phase"), "default:")
        self.accept("router/a.cpp", "switch (c) {\n case 'a': return 1;\n default: return 2;\n}\n")
        self.accept("protocol/a.cpp", "switch (c) {\n case Query::tag: return 1;\n default: return 2;\n}\n")
        self.accept("protocol/a.cpp", "switch (c) {\n case int4_oid: return 1;\n default: return Kind::none;\n}\n")
        self.accept("router/a.cpp", "switch (x) {\n case Phase::steady: return 1;  // No default: on purpose.\n}\n")
        inner = "switch (x) {\n case Phase::steady:\n switch (c) {\n case 'a': return 1;\n default: return 2;\n }\n}\n"
        self.accept("router/a.cpp", inner)

    def test_router_names_no_engine(self):
        self.refuse("router/a.cpp", "int postgres_version;\n", "router names an engine")
        self.accept("router/a.cpp", "// PostgreSQL's way is elsewhere.\nint version;\n")


if __name__ == "__main__":
    unittest.main()
