#include "tests/support/process.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace segue::test {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int first_port = 20000;
constexpr int ports = 12000;  // Below 32768, where the kernel picks ports for outgoing connections.

int exit_code_of(int status) {
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    return 128 + WTERMSIG(status);
}

// In the child, between fork and exec: only what is safe there.
[[noreturn]] void become(const Command& command, int out, int err, int death_signal) {
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    if (command.account.gid >= 0) {
        const auto gid = static_cast<gid_t>(command.account.gid);
        if (setgroups(1, &gid) != 0 || setgid(gid) != 0) _exit(126);
    }
    if (command.account.uid >= 0 && setuid(static_cast<uid_t>(command.account.uid)) != 0)
        _exit(126);
    prctl(PR_SET_PDEATHSIG, death_signal);  // After setuid, which clears it.
    for (int fd = 3; fd < 256; ++fd) close(fd);
    for (const auto& [name, value] : command.environment) setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> arguments;
    for (const std::string& argument : command.arguments)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    if (command.account.uid >= 0 && chdir("/") != 0) _exit(126);
    execvp(arguments[0], arguments.data());
    _exit(127);
}

struct Pipe {
    Pipe() {
        if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
    }
    ~Pipe() {
        close_read();
        close_write();
    }
    void close_read() {
        if (ends[0] >= 0) close(std::exchange(ends[0], -1));
    }
    void close_write() {
        if (ends[1] >= 0) close(std::exchange(ends[1], -1));
    }
    int ends[2] = {-1, -1};
};

// False once the other end is closed.
bool read_some(int fd, std::string& into) {
    char buffer[65536];
    const ssize_t size = read(fd, buffer, sizeof buffer);
    if (size > 0) into.append(buffer, static_cast<std::size_t>(size));
    return size > 0 || (size < 0 && errno == EINTR);
}

// One byte of it for each port: locked by the process that has it, until that one ends. -1 where
// there can be no such file; then only bind says whether a port is free.
int open_port_book() {
    const std::string path = P_tmpdir "/segue-test-ports";  // The same one whatever TMPDIR is.
    // Some kernels let nobody create again, in such a folder, what somebody else has created.
    int book = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (book < 0) book = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (book >= 0) (void)fchmod(book, 0666);
    return book;
}

// Between a look whether a port is free and the server that listens on it a second passes, in which
// another test program would find it free, too.
bool reserve(int port) {
    static const int book = open_port_book();
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = port;
    lock.l_len = 1;
    return book < 0 || fcntl(book, F_SETLK, &lock) == 0;
}

}  // namespace

CommandResult run_command(const Command& command) {
    CommandResult result;
    Pipe out, err;
    const pid_t pid = fork();
    if (pid < 0) return result;
    if (pid == 0) become(command, out.ends[1], err.ends[1], SIGKILL);
    out.close_write();
    err.close_write();
    const auto deadline = Clock::now() + command.timeout * busy_factor;
    bool out_open = true, err_open = true;
    while (out_open || err_open) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) {
            result.timed_out = true;
            kill(pid, SIGKILL);
            break;
        }
        pollfd fds[2] = {{out_open ? out.ends[0] : -1, POLLIN, 0},
                         {err_open ? err.ends[0] : -1, POLLIN, 0}};
        if (poll(fds, 2, static_cast<int>(left)) < 0) continue;
        if (fds[0].revents != 0) out_open = read_some(out.ends[0], result.out);
        if (fds[1].revents != 0) err_open = read_some(err.ends[0], result.err);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    result.exit_code = exit_code_of(status);
    return result;
}

Child::Child(const Command& command, const std::filesystem::path& log, int death_signal) {
    const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const pid_t pid = fork();
    if (pid == 0) become(command, file, file, death_signal);
    if (file >= 0) close(file);
    pid_ = pid > 0 ? pid : 0;
}

Child& Child::operator=(Child&& other) noexcept {
    if (this != &other) {
        Child old{std::move(*this)};
        pid_ = std::exchange(other.pid_, 0);
    }
    return *this;
}

Child::~Child() {
    if (pid_ == 0) return;
    signal(SIGKILL);
    wait(std::chrono::seconds{10});
}

bool Child::running() {
    if (pid_ == 0) return false;
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

void Child::signal(int number) const {
    if (pid_ > 0) kill(pid_, number);
}

int Child::wait(std::chrono::milliseconds timeout) {
    if (pid_ == 0) return -1;
    int status = 0;
    const bool ended = eventually(timeout, [&] { return waitpid(pid_, &status, WNOHANG) != 0; });
    if (!ended) return -1;
    pid_ = 0;
    return exit_code_of(status);
}

int free_port() {
    static std::atomic<int> next{static_cast<int>(getpid() * 37 % ports)};
    for (int tried = 0; tried < ports; ++tried) {
        const int port = first_port + next++ % ports;
        if (!reserve(port)) continue;
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
        close(fd);
        if (free) return port;
    }
    std::abort();
}

std::filesystem::path make_folder(const std::string& prefix) {
    std::string pattern = (std::filesystem::temp_directory_path() / (prefix + "-XXXXXX")).string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    std::filesystem::permissions(pattern, std::filesystem::perms{0755});
    return pattern;
}

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

void write_file(const std::filesystem::path& path, const std::string& text) {
    std::ofstream file{path, std::ios::binary};
    file << text;
}

void pause_between_polls() { poll(nullptr, 0, 5); }

}  // namespace segue::test
