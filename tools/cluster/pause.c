/*
 * Holds a pod's namespaces open: the first process of every pod.
 * Ends when it is told to, and reaps what other containers of the pod leave to it.
 */
#include <signal.h>
#include <sys/wait.h>

int main(void) {
    sigset_t awaited;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGCHLD);
    sigprocmask(SIG_BLOCK, &awaited, 0);
    for (;;) {
        int heard;
        if (sigwait(&awaited, &heard) != 0) return 1;
        if (heard != SIGCHLD) return 0;
        while (waitpid(-1, 0, WNOHANG) > 0) {
        }
    }
}
