#pragma once
// A server that `start` will need, or that clients are relayed to, is missed at once and not when
// somebody asks for it. Once something is moved the mover tells.

#include "backfill/change_steps.hpp"
#include "proxy/journal.hpp"
#include "proxy/state_board.hpp"

namespace segue::proxy {

class ServerWatch {
public:
    ServerWatch(StateBoard& board, Journal& journal) : board_(board), journal_(journal) {}
    // Asks both servers, where that is anybody's business now. A side that does not answer takes
    // its connect timeout: not for the operator's thread.
    void look(backfill::ChangeSteps& steps);

private:
    StateBoard& board_;
    Journal& journal_;
};

}  // namespace segue::proxy
