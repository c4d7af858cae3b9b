#pragma once
// Why an address cannot be listened on, as an operator is told it.

#include <boost/system/error_code.hpp>

#include <string>

namespace segue::proxy {

inline std::string listening_problem(const boost::system::error_code& why) {
    const bool taken = why == boost::system::errc::address_in_use;
    return why.message() +
           (taken ? ": is another `segue run` at work, or another program (ss -ltnp)?" : "");
}

}  // namespace segue::proxy
