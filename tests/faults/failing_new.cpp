// Preloaded: `operator new` that fails at a chosen call from one library, and counts.
//
// The library is told by the addresses of its code. Memory is malloc's, as that of libstdc++'s own
// operators is, so that either may free what the other gave.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

constexpr int kMost = 64;

std::atomic<std::uintptr_t> first{0}, past{0};  // addresses of the library that is counted
std::uintptr_t spared[kMost][2];                // but not of these of its functions
std::atomic<int> spared_count{0};
std::atomic<long> calls{0};        // of it, since arm()
std::atomic<long> failing{-1};     // the call that fails, from 1 on; -1: none
std::atomic<bool> onwards{false};  // whether all after it fail too
std::atomic<long> live{0};         // blocks of anybody that are not freed

bool counts(std::uintptr_t from) {
    bool spares = false;
    for (int i = 0; i < spared_count; ++i) {
        spares = spares || (spared[i][0] <= from && from < spared[i][1]);
    }
    return first <= from && from < past && !spares;
}

void* allocate(std::size_t size, std::size_t alignment, const void* caller) {
    if (counts(reinterpret_cast<std::uintptr_t>(caller))) {
        const long call = ++calls, fails = failing;
        if (fails > 0 && (call == fails || (onwards && call > fails))) {
            return nullptr;
        }
    }
    size = size == 0 ? 1 : size;
    void* block = alignment == 0 ? std::malloc(size)
                                 : std::aligned_alloc(
                                       alignment, (size + alignment - 1) / alignment * alignment);
    live += block != nullptr;
    return block;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment, const void* caller) {
    void* block = allocate(size, alignment, caller);
    if (block == nullptr) {
        throw std::bad_alloc();
    }
    return block;
}

void release(void* block) noexcept {
    live -= block != nullptr;
    std::free(block);
}

}  // namespace

extern "C" {

// False if there are too many already.
bool spare(std::uintptr_t begin, std::uintptr_t end) {
    if (spared_count == kMost) {
        return false;
    }
    spared[spared_count][0] = begin;
    spared[spared_count][1] = end;
    ++spared_count;
    return true;
}

void arm(std::uintptr_t begin, std::uintptr_t end, long call, bool all_after) {
    first = begin;
    past = end;
    calls = 0;
    onwards = all_after;
    failing = call;
}

// Nothing fails any more; how many calls there were.
long disarm() {
    failing = -1;
    return calls;
}

long live_blocks() { return live; }
}

#define CALLER __builtin_return_address(0)

void* operator new(std::size_t size) { return allocate_or_throw(size, 0, CALLER); }
void* operator new[](std::size_t size) { return allocate_or_throw(size, 0, CALLER); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate_or_throw(size, static_cast<std::size_t>(alignment), CALLER);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocate_or_throw(size, static_cast<std::size_t>(alignment), CALLER);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size, 0, CALLER);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size, 0, CALLER);
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate(size, static_cast<std::size_t>(alignment), CALLER);
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate(size, static_cast<std::size_t>(alignment), CALLER);
}
void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { release(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { release(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept {
    release(block);
}
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
    release(block);
}
