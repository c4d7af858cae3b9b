// Any text as pg_restore's list and script: pieces come in order, one for each entry, or it is
// refused. Input := list, 0, script

#include "backfill/postgres/dump_script.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::backfill::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "3224; 2606 16421 CONSTRAINT public t t_pkey postgres\n\0SET x = 1;\n--\n-- TOC entry 3224 "
        "(class 2606 OID "
        "16421)\n-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres\n--\n\nALTER "
        "TABLE t ADD "
        "PRIMARY KEY (a);\n"sv,
        "1; 0 0 ENCODING - ENCODING \n2; 1259 5 TABLE segue control x\n;comment\n\0"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input = fuzz::text_of(data, size);
    const std::size_t zero = input.find('\0');
    const auto entries = parse_dump_list(input.substr(0, zero));
    for (const DumpEntry& entry : entries) {
        (void)is_left_behind(entry);
        (void)is_key_entry(entry, {});
    }
    if (zero == std::string_view::npos) return 0;
    const auto script = cut_script(input.substr(zero + 1), entries);
    if (script) fuzz::require(script->pieces.size() <= entries.size());
    return 0;
}
