#include "protocol/postgres/read_request.hpp"

#include "protocol/postgres/framer.hpp"

namespace segue::protocol::postgres {

namespace {

// The messages of an extended request in their order; Describe may stand twice.
enum class Place : std::uint8_t { start, parsed, bound, executed, ended };

class Recogniser {
public:
    std::optional<ReadRequest> run(Bytes slice) {
        while (!slice.empty()) {
            const Step<Frame> step = next_frame(slice, slice.size());
            const auto* frame = std::get_if<Frame>(&step);
            if (frame == nullptr || place_ == Place::ended || !take(*frame)) return std::nullopt;
            slice = slice.subspan(frame->wire.size());
        }
        if (place_ != Place::ended) return std::nullopt;
        return request_;
    }

private:
    bool take(const Frame& frame) {
        switch (frame.tag) {
            case Query::tag:
                return query(frame.body);
            case Parse::tag:
                return parse(frame.body);
            case Bind::tag:
                return bind(frame.body);
            case Describe::tag:
                return describe(frame.body);
            case Execute::tag:
                return execute(frame.body);
            case Close::tag:
                return close(frame.body);
            case 'S':
                if (place_ != Place::executed || !frame.body.empty()) return false;
                place_ = Place::ended;
                return true;
            default:  // Not our enum: any byte may come.
                return false;
        }
    }

    bool query(Bytes body) {
        const Result<Query> message = parse_query(body);
        if (!message || place_ != Place::start) return false;
        request_.simple = true;
        request_.parse = Parse{{}, message->text, {}};
        place_ = Place::ended;
        return true;
    }
    // A named statement must come to exist on the authority, where later requests may use it.
    bool parse(Bytes body) {
        Result<Parse> message = parse_parse(body);
        if (!message || place_ != Place::start || !message->name.empty()) return false;
        request_.parse = *message;
        place_ = Place::parsed;
        return true;
    }
    bool bind(Bytes body) {
        Result<Bind> message = parse_bind(body);
        if (!message || (place_ != Place::start && place_ != Place::parsed)) return false;
        if (!message->portal.empty()) return false;
        if (place_ == Place::parsed && !message->statement.empty()) return false;
        request_.bind = *message;
        place_ = Place::bound;
        return true;
    }
    bool describe(Bytes body) {
        const Result<Describe> message = parse_describe(body);
        if (!message) return false;
        if (place_ == Place::parsed) {
            request_.describes_statement = true;
            return message->kind == 'S' && message->name.empty();
        }
        return place_ == Place::bound && message->kind == 'P' && message->name.empty();
    }
    bool execute(Bytes body) {
        const Result<Execute> message = parse_execute(body);
        if (!message || place_ != Place::bound || !message->portal.empty() ||
            message->row_limit != 0)
            return false;
        place_ = Place::executed;
        return true;
    }
    bool close(Bytes body) {
        const Result<Close> message = parse_close(body);
        return message && place_ == Place::executed && message->kind == 'P' &&
               message->name.empty();
    }

    ReadRequest request_;
    Place place_ = Place::start;
};

}  // namespace

std::optional<ReadRequest> recognise_read_request(Bytes slice) { return Recogniser{}.run(slice); }

}  // namespace segue::protocol::postgres
