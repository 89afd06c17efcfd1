/* Preloaded into a program of the lab to give it a wall clock and a disk of its own.
 *
 * The lab maps a small file, whose path is in HASTUDY_SHIM, and so does the program; what the lab writes there holds
 * from the program's next call on. Children of the program (snapshots of a server) share the mapping.
 *
 *   clock   CLOCK_REALTIME, gettimeofday() and time() show
 *               true + offset + (true - base) * ppm / 1000000.
 *           Clocks that only count (CLOCK_MONOTONIC) are left alone, as setting the time leaves them alone.
 *   disk    every fsync() and fdatasync() first waits; those of child processes can be made to fail.
 *
 * The kernel is called directly: looking up the C library's own functions would allocate memory, which allocators that
 * ask for the time while they start do not survive. The price, no vDSO, is some 100 ns a call.
 *
 * Left out: timers and time-outs in absolute wall time, file stamps, O_SYNC, machines with a 32 bit time_t.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

_Static_assert(sizeof(time_t) == 8, "this shim is for a 64 bit time_t");

struct law {
    int64_t base_ns, offset_ns, ppm;
};

/* The same fields, in the same order, as _Fields of shim.py. */
struct control {
    uint64_t turn;         /* laws[turn % 2] holds; the lab prepares the other one and then raises this */
    struct law laws[2];
    int64_t sync_delay_ns;
    int64_t sync_error;    /* errno of the syncs of child processes, 0 = they work */
    uint64_t syncs;        /* calls so far */
    uint64_t loaded;       /* the program has mapped this */
};

static struct control *control;
static pid_t program;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("HASTUDY_SHIM");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *place = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (place == MAP_FAILED)
        return;
    program = getpid();
    control = place;
    __atomic_store_n(&control->loaded, 1, __ATOMIC_RELEASE);
}

/* The law that holds now, never half of an old and half of a new one. */
static struct law current_law(void)
{
    struct law law;
    uint64_t turn;
    do {
        turn = __atomic_load_n(&control->turn, __ATOMIC_ACQUIRE);
        law = control->laws[turn % 2];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (turn != __atomic_load_n(&control->turn, __ATOMIC_RELAXED));
    return law;
}

static void shift(struct timespec *now)
{
    struct law law = current_law();
    int64_t true_ns = now->tv_sec * NS_PER_S + now->tv_nsec;
    int64_t gained_ns = (int64_t)((__int128)(true_ns - law.base_ns) * law.ppm / 1000000);
    int64_t shown_ns = true_ns + law.offset_ns + gained_ns;
    now->tv_sec = shown_ns / NS_PER_S;
    now->tv_nsec = shown_ns % NS_PER_S;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        shift(now);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone; /* obsolete, and no program of the lab asks for it */
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    if (now)
        *now = exact.tv_sec;
    return exact.tv_sec;
}

static void wait_ns(int64_t length_ns)
{
    struct timespec rest = {.tv_sec = length_ns / NS_PER_S, .tv_nsec = length_ns % NS_PER_S};
    while (length_ns > 0 && nanosleep(&rest, &rest) && errno == EINTR)
        ;
}

static int sync_file(long call, int file)
{
    if (control) {
        int64_t error = __atomic_load_n(&control->sync_error, __ATOMIC_RELAXED);
        __atomic_fetch_add(&control->syncs, 1, __ATOMIC_RELAXED);
        if (error && getpid() != program) {
            errno = (int)error;
            return -1;
        }
        wait_ns(__atomic_load_n(&control->sync_delay_ns, __ATOMIC_RELAXED));
    }
    return (int)syscall(call, file);
}

int fsync(int file)
{
    return sync_file(SYS_fsync, file);
}

int fdatasync(int file)
{
    return sync_file(SYS_fdatasync, file);
}
