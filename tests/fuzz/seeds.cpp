#include "tests/fuzz/seeds.hpp"

#include <filesystem>
#include <fstream>
#include <string>

namespace segue::fuzz {

namespace {

std::string folder;            // Of this run's seeds; removed at its end.
std::vector<char*> arguments;  // libFuzzer keeps pointers to them.

void remove_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
}

bool names_a_corpus(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        if (argv[i][0] != '-') return true;
    }
    return false;
}

}  // namespace

}  // namespace segue::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    using namespace segue::fuzz;
    if (names_a_corpus(*argc, *argv)) return 0;
    std::string pattern = (std::filesystem::temp_directory_path() / "segue-fuzz-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) return 0;  // Without seeds it only takes longer.
    folder = pattern;
    std::atexit(remove_folder);
    int number = 0;
    for (const std::string_view seed : seeds()) {
        std::ofstream file{folder + "/" + std::to_string(number++), std::ios::binary};
        file.write(seed.data(), static_cast<std::streamsize>(seed.size()));
    }
    arguments.assign(*argv, *argv + *argc);
    arguments.push_back(folder.data());
    arguments.push_back(nullptr);
    *argv = arguments.data();
    ++*argc;
    return 0;
}
