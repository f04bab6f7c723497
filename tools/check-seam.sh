#!/bin/sh
# check-seam.sh BUILD BACKEND: fails if an object of src/posix or src/BACKEND calls the system other than through the table loop__sys,
# or if a call in that table is not made to fail by any test (test/fault*.c, those of test/posix and test/BACKEND, or the tables of
# errors they use). For iocp, of which there is no build for this system, only the latter: check-seam.sh - iocp.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1
backend=$2
failed=0

# What is no system call: memory, strings, address conversion, signal sets; what compilers and the linker add.
pure='memcpy|memset|memmove|memcmp|strlen|strchr|inet_ntop|inet_pton|__errno_location|freeaddrinfo|pthread_self'
pure="$pure|sigemptyset|sigfillset|sigaddset|sigdelset|sigismember"
# The use of a lock or a condition that exists: fails for its caller's mistakes only. What makes one is in the table.
pure="$pure|pthread_mutex_lock|pthread_mutex_unlock|pthread_mutex_destroy"
pure="$pure|pthread_cond_wait|pthread_cond_signal|pthread_cond_broadcast|pthread_cond_destroy"
added='__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__asan.*|__ubsan.*|__tsan.*|__gcov.*|syscall_is_wrapped'
ours='loop__[a-z0-9_]*|loop_[a-z0-9_]*'

case $backend in
iocp) platform=iocp ;;
*) platform=posix ;;
esac

if [ "$platform" = posix ]; then
    objects=$(find "$build/CMakeFiles/loop_static.dir/src/posix" "$build/CMakeFiles/loop_static.dir/src/$backend" -name '*.o' \
        ! -name 'sys.c.o')
    [ -n "$objects" ] || { echo "check-seam: no objects in $build" >&2; exit 1; }
    for object in $objects; do
        calls=$(nm -u "$object" | awk '{ print $2 }' | grep -vxE "$pure|$added|$ours")
        if [ -n "$calls" ]; then
            echo "$object calls outside of the seam:" >&2
            echo "$calls" | sed 's/^/    /' >&2
            failed=1
        fi
    done
fi

names=$(sed -n 's/^ *X([A-Za-z_ ]*, \([A-Za-z_0-9]*\), .*/\1/p' "src/$platform/sys.h" "src/$backend/backend_sys.h")
[ -n "$names" ] || { echo "check-seam: no rows in the table" >&2; exit 1; }
for name in $names; do
    case $name in
    GetCurrentProcessId | GetLastError | SleepEx | WSAGetLastError) continue ;; # cannot fail
    esac
    if ! grep -qE "FAULT_$name([^A-Za-z_0-9]|\$)" test/fault*.[ch] "test/$platform"/fault*.[ch] "test/$backend"/*.[ch]; then
        echo "no test makes $name fail" >&2
        failed=1
    fi
done
exit $failed
