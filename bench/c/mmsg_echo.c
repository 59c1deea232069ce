// SPDX-License-Identifier: Apache-2.0

// The floor for UDP: an echo server on recvmmsg and sendmmsg, one thread, which answers out of the buffers that the
// packets were read into. It speaks the protocol of bench/internal/control on its standard input and output.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, PACKET = 64 << 10, BUFFER = 4 << 20 };

static char bufs[BATCH][PACKET];
static struct sockaddr_in peers[BATCH];
static struct iovec iovs[BATCH];
static struct mmsghdr msgs[BATCH];

static void die(const char *what) {
	perror(what);
	exit(1);
}

static long status_kb(const char *name) {
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");
	if (f == NULL)
		die("/proc/self/status");
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			kb = strtol(line + strlen(name) + 1, NULL, 10);
	fclose(f);
	return kb;
}

static void on_command(void) {
	char line[256];
	ssize_t n = read(0, line, sizeof line - 1); // the orchestrator sends a command at a time
	if (n <= 0)
		exit(0);
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	if (strcmp(line, "cpu") == 0) {
		struct rusage u;
		getrusage(RUSAGE_SELF, &u);
		printf("{\"values\":{\"user_us\":%ld,\"system_us\":%ld}}\n",
		       u.ru_utime.tv_sec * 1000000L + u.ru_utime.tv_usec,
		       u.ru_stime.tv_sec * 1000000L + u.ru_stime.tv_usec);
	} else if (strcmp(line, "rss") == 0) {
		printf("{\"values\":{\"rss_kb\":%ld}}\n", status_kb("VmRSS"));
	} else if (strcmp(line, "gc") == 0) {
		malloc_trim(0);
		puts("{\"values\":{}}");
	} else if (strcmp(line, "quit") == 0) {
		puts("{\"values\":{}}");
		exit(0);
	} else {
		puts("{\"error\":\"unknown command\"}");
	}
}

static int bind_loopback(void) {
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof sa;
	int size = BUFFER, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0)
		die("bind");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	printf("127.0.0.1:%d\n", ntohs(sa.sin_port));
	return fd;
}

static void prepare(void) {
	for (int i = 0; i < BATCH; i++) {
		iovs[i].iov_base = bufs[i];
		msgs[i].msg_hdr.msg_iov = &iovs[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
		msgs[i].msg_hdr.msg_name = &peers[i];
	}
}

// echo answers one batch. A packet that the kernel does not take is lost, as packets are.
static void echo(int fd) {
	for (int i = 0; i < BATCH; i++) {
		iovs[i].iov_len = PACKET;
		msgs[i].msg_hdr.msg_namelen = sizeof peers[i];
	}
	int n = recvmmsg(fd, msgs, BATCH, 0, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		die("recvmmsg");
	for (int i = 0; i < n; i++)
		iovs[i].iov_len = msgs[i].msg_len;
	for (int done = 0; done < n;) {
		int sent = sendmmsg(fd, msgs + done, n - done, 0);
		done += sent > 0 ? sent : 1;
	}
}

int main(void) {
	setvbuf(stdout, NULL, _IOLBF, 0);
	prepare();
	int fd = bind_loopback(), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event control = {.events = EPOLLIN, .data.fd = 0}, packets = {.events = EPOLLIN, .data.fd = fd}, events[2];
	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, 0, &control) < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &packets) < 0)
		die("epoll");
	for (;;) {
		int n = epoll_wait(ep, events, 2, -1);
		for (int i = 0; i < n; i++)
			if (events[i].data.fd == fd)
				echo(fd);
			else
				on_command();
	}
}
