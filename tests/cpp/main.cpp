#include "check.hpp"

int main() {
    for (const check::Test& test : check::tests()) {
        test.run();
        std::printf("ok %s\n", test.name);
        std::fflush(stdout);
    }
    std::printf("%zu passed\n", check::tests().size());
}
