// Any bytes of a client: a request that is recognised lies inside them, and the book of statements
// stays within its limit.

#include "protocol/postgres/boundary.hpp"
#include "protocol/postgres/read_request.hpp"
#include "protocol/postgres/statement_book.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {"Q\0\0\0\x0dselect 1\0"sv,
            "P\0\0\0\x10\0select 1\0\0\0"
            "B\0\0\0\x0c\0\0\0\0\0\0\0\0"
            "E\0\0\0\x09\0\0\0\0\0"
            "S\0\0\0\x04"sv,
            "P\0\0\0\x11s\0select 1\0\0\0"
            "C\0\0\0\x07Ss\0"
            "S\0\0\0\x04"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input = fuzz::text_of(data, size);
    if (const auto request = recognise_read_request(bytes(input))) {
        if (const auto text = request->text()) {
            fuzz::require(text->empty() || (text->data() >= input.data() &&
                                            text->data() + text->size() <= input.data() + size));
        }
    }
    Boundary boundary;
    StatementBook book;
    const auto see = [&](const Piece& piece) { (void)book.see(piece); };
    const std::size_t half = size / 2;
    boundary.client(bytes(input.substr(0, half)), see);
    boundary.client(bytes(input.substr(half)), see);
    book.settle(size % 2 == 0);
    fuzz::require(book.size() <= statement_book_size_max);
    return 0;
}
