// The switch alone, from C++: exceptions that are thrown and caught inside a flow, and switches in the middle of it.
//
//   cc -O2 -Iarch -c examples/c/switch/slices.c arch/any.S
//   c++ -O2 -Iarch examples/c/switch/exceptions.cpp slices.o any.o -o exceptions && ./exceptions
//
// No exception crosses a switch: each flow's body catches all. What C++ keeps per *thread*, and so has to be kept per flow, is
// the exceptions that are being handled right now: `__cxa_get_globals`, in every C++ runtime with the Itanium ABI.

#include "../check.h"
#include "slices.h"

#include <cstring>
#include <cxxabi.h>
#include <exception>
#include <stdexcept>
#include <string>

namespace {

constexpr int FLOWS = 24;
constexpr int ROUNDS = 200;

struct flows all;
struct flow coroutine[FLOWS];
unsigned long switches, caught, destroyed;

// caughtExceptions and uncaughtExceptions; on 32-bit ARM a third word, propagatingExceptions.
struct Handling {
#if defined(__ARM_EABI_UNWINDER__)
    void *words[3];
#else
    void *words[2];
#endif
};

// All switches go through here: what is being handled stays with the flow that handles it.
void *go(struct flow *to, void *word)
{
    Handling mine;
    void *globals = abi::__cxa_get_globals();

    switches++;
    std::memcpy(&mine, globals, sizeof mine);
    word = flow_switch(&all, to, word);
    std::memcpy(globals, &mine, sizeof mine);
    return word;
}

struct Guard {
    const int number;
    explicit Guard(int n) : number(n) {}
    ~Guard() { destroyed++; }
};

void switch_away()
{
    CHECK(go(&all.main, &all));
}

// Throws from a depth, with destructors in between that are run while others are suspended.
void dig(int depth, int number)
{
    Guard guard(number);
    std::string text = "flow " + std::to_string(number);

    switch_away();
    if (depth == 0)
        throw std::runtime_error(text);
    dig(depth - 1, number);
    CHECK(!"dig returns");
}

// The exception that is handled is this flow's own before and after a switch, also when it is thrown again.
void handle(int number, int round)
{
    const std::string expected = "flow " + std::to_string(number);
    try {
        try {
            dig((number + round) % 7, number);
        } catch (const std::exception &error) {
            CHECK(error.what() == expected);
            switch_away();
            CHECK(error.what() == expected);
            CHECK(std::current_exception());
            try {
                throw number;
            } catch (int inner) {
                switch_away();
                CHECK(inner == number);
            }
            switch_away();
            throw;
        }
        CHECK(!"nothing was thrown");
    } catch (const std::runtime_error &error) {
        CHECK(error.what() == expected);
        caught++;
    }
    CHECK(!std::current_exception());
}

void body(struct flows *, void *word)
{
    // A flow begins with nothing being handled, wherever it was begun.
    std::memset(static_cast<void *>(abi::__cxa_get_globals()), 0, sizeof(Handling));
    const int number = static_cast<int>(static_cast<struct flow *>(word) - coroutine);
    try {
        for (int round = 0; round < ROUNDS; round++)
            handle(number, round);
    } catch (...) {
        CHECK(!"an exception would have left its flow");
    }
    flow_end(&all, &all.main, &all);
}

void begin(int i)
{
    Handling mine;
    void *globals = abi::__cxa_get_globals();

    std::memcpy(&mine, globals, sizeof mine);
    CHECK(flow_begin(&all, &coroutine[i], body, &coroutine[i]));
    std::memcpy(globals, &mine, sizeof mine);
}

} // namespace

int main()
{
    flows_init(&all, std::realloc);
    try {
        throw std::logic_error("main's own");
    } catch (const std::logic_error &error) {
        for (int i = 0; i < FLOWS; i++)
            begin(i);
        for (int i = 0, active = FLOWS; active; i = (i + 5) % FLOWS)
            if (coroutine[i].active) {
                CHECK(go(&coroutine[i], &all));
                active -= !coroutine[i].active;
                CHECK(error.what() == std::string("main's own"));
            }
        CHECK(std::current_exception());
    }
    CHECK(caught == FLOWS * ROUNDS && destroyed > caught);
    for (auto &one : coroutine)
        std::free(one.copy);
    std::free(all.main.copy);
    std::printf("switch alone, C++: %lu exceptions caught, %lu switches, all right\n", caught, switches);
}
