#pragma once
// The same facts as status, as Prometheus text. Names begin with segue_; what is unknown is left
// out.

#include <string>

#include "proxy/status.hpp"

namespace segue::proxy {

std::string metrics_text(const StatusInputs& inputs);

}  // namespace segue::proxy
