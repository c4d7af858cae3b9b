#include "protocol/postgres/boundary.hpp"

#include <algorithm>

namespace segue::protocol::postgres {

static_assert(sizeof(Boundary) <= 96, "one per session, and read for every slice");

namespace {

struct VisitNothing {
    void operator()(const Piece&) const {}
    void operator()(const ServerEvent&) const {}
};

bool asks_for_ready(char tag) { return tag == 'Q' || tag == 'S' || tag == 'F'; }

}  // namespace

void Boundary::client(Bytes slice) { client(slice, VisitNothing{}); }
void Boundary::server(Bytes slice) { server(slice, VisitNothing{}); }

std::size_t Boundary::client_cut(Bytes slice) const {
    Cursor cursor = client_;
    bool copy_in = copy_ == Copy::in;
    bool skipping = skipping_;
    std::size_t cut = slice.size();
    bool found = false;
    walk(
        cursor,
        slice,
        [](char) {},
        [&](const Piece& piece, std::size_t, std::size_t end) {
            if (found || !piece.last) return;
            if (piece.tag == 'c' || piece.tag == 'f') {
                // Of a Query: its answer needs nothing more, and what comes next is the request
                // behind it.
                found = copy_in && replies_ > 0;
                if (found) cut = end;
                copy_in = false;
            }
            if (!asks_for_ready(piece.tag)) return;
            if (piece.tag == 'S') {
                if (copy_in)
                    return;  // Swallowed by the server: waiting for its answer would be for ever.
                skipping = false;
            }
            if (skipping) return;
            found = true;
            cut = end;
        });
    return cut;
}

void Boundary::sent(char tag) {
    if (asks_for_ready(tag)) return sent_reply_request(tag);
    if (tag == 'P' || tag == 'B' || tag == 'D' || tag == 'E' || tag == 'C') extended_open_ = true;
    if (tag == 'E') execute_open_ = true;
    if (tag == 'c' || tag == 'f') sent_copy_end();
    if (tag == 'X') terminated_ = true;
}

void Boundary::sent_reply_request(char tag) {
    if (tag == 'S') {
        if (copy_ == Copy::in) {
            ++syncs_swallowed_;
            return;
        }
        skipping_ = false;
        extended_open_ = false;
        execute_open_ = false;
        return push(Kind::sync);
    }
    if (skipping_) return;  // The server drops it unread.
    const Kind behind_extended = execute_open_ ? Kind::dirty_query : Kind::parsed_query;
    push(extended_open_ ? behind_extended : Kind::query);
    extended_open_ = false;
    execute_open_ = false;
}

void Boundary::sent_copy_end() {
    if (copy_ == Copy::in) {
        copy_ = Copy::in_ended;
        return;
    }
    // Outside of COPY the server ignores it, unless a COPY IN begins that we have not been told of
    // yet.
    if (extended_open_) return push(Kind::copy_end_extended);
    if (replies_ > 0) push(Kind::copy_end);
}

void Boundary::push(Kind kind_of_new) {
    const bool copy_end = kind_of_new == Kind::copy_end || kind_of_new == Kind::copy_end_extended;
    if (!copy_end) ++replies_;
    if (runs_used_ > 0) {
        Run& last = runs_[runs_used_ - 1u];
        if (kind(runs_used_ - 1u) == kind_of_new) {
            ++last.count;
            return;
        }
        if (runs_used_ == runs_max) {
            const Kind old = kind(runs_used_ - 1u);
            const bool countable =
                (old == Kind::query || old == Kind::sync || old == Kind::mixed) &&
                (kind_of_new == Kind::query || kind_of_new == Kind::sync);
            if (!countable) lost_ = true;
            last.kind = static_cast<std::uint32_t>(Kind::mixed) & 7u;
            if (!copy_end) ++last.count;
            return;
        }
    }
    runs_[runs_used_++] = Run{1u, static_cast<std::uint32_t>(kind_of_new) & 7u};
}

void Boundary::take_one(std::size_t run) {
    const Kind taken = kind(run);
    if (taken != Kind::copy_end && taken != Kind::copy_end_extended) --replies_;
    if (--runs_[run].count > 0) return;
    std::copy(runs_.begin() + static_cast<std::ptrdiff_t>(run) + 1,
              runs_.begin() + runs_used_,
              runs_.begin() + static_cast<std::ptrdiff_t>(run));
    --runs_used_;
    // Neighbours that have become equal stay apart: merging them would only save a run.
}

void Boundary::drop_front_runs(Kind kind_dropped) {
    while (runs_used_ > 0 && kind(0) == kind_dropped) take_one(0);
}

void Boundary::received(char tag) {
    switch (tag) {
        case 'G':
            return received_copy_in();
        case 'H':
            copy_ = Copy::out;
            return;
        case 'W':
            copy_ = Copy::both;
            return;
        case 'C':
            if (copy_ != Copy::both) copy_ = Copy::none;
            return;
        case 'E':
            return received_error();
        default:  // Tags are the peer's; the others change nothing here.
            return;
    }
}

void Boundary::received_ready(char status) {
    status_ = status;
    ++requests_ended_;
    error_said_ = false;
    if (status == 'I') ++transactions_ended_;
    if (copy_ != Copy::both) copy_ = Copy::none;
    drop_front_runs(Kind::copy_end_extended);  // Of a COPY that never began.
    if (runs_used_ == 0) {
        lost_ = true;  // The server answered what we have not seen asked.
        return;
    }
    take_one(0);
    drop_front_runs(Kind::copy_end);
}

void Boundary::received_copy_in() {
    copy_ = Copy::in;
    syncs_swallowed_ = 0;
    if (runs_used_ == 0) return;
    switch (kind(0)) {
        case Kind::copy_end_extended:
            take_one(0);
            copy_ = Copy::in_ended;
            return;
        case Kind::sync:
            return swallow_early_syncs(0);
        case Kind::query:
        case Kind::parsed_query:
            if (runs_[0].count == 1) return swallow_early_syncs(1);
            lost_ = true;  // A second Query inside COPY IN; the server ends the connection.
            return;
        case Kind::dirty_query:
        case Kind::mixed:
        case Kind::copy_end:
            lost_ = true;  // Which request began this COPY cannot be told.
            return;
    }
}

// Syncs that the client sent after the request that began COPY IN and before its end.
void Boundary::swallow_early_syncs(std::size_t run) {
    while (run < runs_used_ && kind(run) == Kind::sync) {
        take_one(run);
        ++syncs_swallowed_;
    }
    if (run == runs_used_) return;
    if (kind(run) == Kind::copy_end) {
        take_one(run);
        copy_ = Copy::in_ended;
        return;
    }
    lost_ = true;
}

void Boundary::received_error() {
    ++errors_;
    error_said_ = true;
    const bool in_copy_in = copy_ == Copy::in || copy_ == Copy::in_ended;
    if (in_copy_in && syncs_swallowed_ > 0) lost_ = true;  // Before or after it was swallowed?
    if (copy_ != Copy::both) copy_ = Copy::none;
    std::size_t run = 0;
    while (run < runs_used_ && kind(run) == Kind::copy_end_extended) ++run;
    if (run == runs_used_) {
        // Of an extended message whose Sync has not been sent; else it is the end of the
        // connection.
        if (extended_open_) skipping_ = true;
        return;
    }
    const bool behind_extended = kind(run) == Kind::dirty_query || kind(run) == Kind::parsed_query;
    if (behind_extended) lost_ = true;  // Of the Query, or of what made the server drop it?
}

}  // namespace segue::protocol::postgres
