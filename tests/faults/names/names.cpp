// Preloaded into the program under test: names that end in .segue.test are 127.0.0.1 while they
// stand in the file that SEGUE_NAMES names, and unknown otherwise, as where a name service is gone.

#include <dlfcn.h>
#include <netdb.h>

#include <cstdlib>
#include <fstream>
#include <string>

extern "C" int getaddrinfo(const char* node,
                           const char* service,
                           const addrinfo* hints,
                           addrinfo** found) {
    using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    const std::string name = node == nullptr ? "" : node;
    const std::string domain = ".segue.test";
    const bool ours = name.size() > domain.size() &&
                      name.compare(name.size() - domain.size(), domain.size(), domain) == 0;
    if (!ours) return real(node, service, hints, found);
    const char* path = std::getenv("SEGUE_NAMES");
    std::ifstream known{path == nullptr ? "" : path};
    for (std::string line; std::getline(known, line);) {
        if (line == name) return real("127.0.0.1", service, hints, found);
    }
    return EAI_AGAIN;
}
