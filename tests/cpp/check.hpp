// The smallest test frame: TEST(name) { CHECK(condition); }. main.cpp runs every test.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace check {

struct Test {
    const char* name;
    void (*run)();
};
inline std::vector<Test>& tests() {
    static std::vector<Test> all;
    return all;
}
struct Registrar {
    Registrar(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

inline std::vector<double> gaussian(std::size_t count, unsigned seed) {
    std::mt19937_64 generator(seed);
    std::normal_distribution<double> normal;
    std::vector<double> values(count);
    for (double& x : values) {
        x = normal(generator);
    }
    return values;
}

}  // namespace check

#define TEST(name)                                               \
    static void name();                                          \
    static const check::Registrar registrar_##name(#name, name); \
    static void name()

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                        \
        }                                                                        \
    } while (false)
