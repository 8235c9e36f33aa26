// File operations that somebody else decides about; see faulty_files.py.
//
// Loaded by LD_PRELOAD, armed by `faulty_files_arm`. From then on each operation
// on a path below `root` says its kind, path and size over `channel`, a socket,
// and waits for four bytes of answer: 0, go on; an errno, with which it fails;
// -1, the process dies before it; -2, it dies in the middle of it. Operations
// come one at a time, whatever the number of threads.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GO = 0, DIE = -1, TEAR = -2 };

static pthread_mutex_t turn = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static __thread int inside;  // An operation may be made of others.
static char root[PATH_MAX];
static size_t root_length;
static int channel = -1;

void faulty_files_arm(const char *below, int socket) {
  snprintf(root, sizeof root, "%s", below);
  root_length = strlen(root);
  channel = socket;
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// The path of a descriptor, and of a name below one; "" where there is none.
static void path_of(int descriptor, const char *name, char *path) {
  char link[64], folder[PATH_MAX] = "";
  *path = 0;
  if (name && *name == '/') {
    snprintf(path, PATH_MAX, "%s", name);
    return;
  }
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  if (descriptor == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
  ssize_t size = readlink(link, folder, sizeof folder - 1);
  if (size <= 0) return;
  folder[size] = 0;
  snprintf(path, PATH_MAX, name ? "%s/%s" : "%s", folder, name);
}

// Takes its turn and asks; returns the answer, or `GO` where nobody is asked.
static int ask(const char *kind, const char *path, size_t size) {
  if (channel < 0 || inside || strncmp(path, root, root_length)) return GO;
  char text[PATH_MAX + 64];
  int answer = GO, saved = errno;
  int length = snprintf(text, sizeof text, "%s\t%zu\t%s", kind, size, path);
  pthread_mutex_lock(&turn);
  inside = 1;
  if (send(channel, text, length + 1, MSG_NOSIGNAL) != length + 1 ||
      recv(channel, &answer, sizeof answer, MSG_WAITALL) != sizeof answer)
    answer = GO;  // Nobody is there any more.
  errno = saved;
  if (answer == DIE) die();
  return answer;
}

static void done(void) {
  if (!inside) return;
  int saved = errno;
  inside = 0;
  pthread_mutex_unlock(&turn);
  errno = saved;
}

#define REAL(type, name, ...)                            \
  static type (*real)(__VA_ARGS__);                      \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name);

// An operation that is not armed, or is part of another, is the real one.
#define IDLE (channel < 0 || inside)

// Asks about `path`, does `call`, and dies after it if it is to die in it.
#define ACT(type, kind, path, failure, call)   \
  do {                                         \
    int answer = ask(kind, path, 0);           \
    if (answer > 0) {                          \
      done();                                  \
      errno = answer;                          \
      return failure;                          \
    }                                          \
    type result = call;                        \
    if (answer == TEAR) die();                 \
    done();                                    \
    return result;                             \
  } while (0)

#define WRITES(flags) ((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT)

#define OPEN(name)                                                        \
  int name(const char *path, int flags, ...) {                            \
    REAL(int, #name, const char *, int, ...)                              \
    va_list list;                                                         \
    va_start(list, flags);                                                \
    mode_t mode = va_arg(list, mode_t);                                   \
    va_end(list);                                                         \
    if (IDLE) return real(path, flags, mode);                             \
    char whole[PATH_MAX];                                                 \
    path_of(AT_FDCWD, path, whole);                                       \
    const char *kind = WRITES(flags) ? "create" : "open";                 \
    ACT(int, kind, whole, -1, real(path, flags, mode));                   \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                      \
  int name(int folder, const char *path, int flags, ...) {                \
    REAL(int, #name, int, const char *, int, ...)                         \
    va_list list;                                                         \
    va_start(list, flags);                                                \
    mode_t mode = va_arg(list, mode_t);                                   \
    va_end(list);                                                         \
    if (IDLE) return real(folder, path, flags, mode);                     \
    char whole[PATH_MAX];                                                 \
    path_of(folder, path, whole);                                         \
    const char *kind = WRITES(flags) ? "create" : "open";                 \
    ACT(int, kind, whole, -1, real(folder, path, flags, mode));           \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                       \
  FILE *name(const char *path, const char *mode) {                        \
    REAL(FILE *, #name, const char *, const char *)                       \
    if (IDLE) return real(path, mode);                                    \
    char whole[PATH_MAX];                                                 \
    path_of(AT_FDCWD, path, whole);                                       \
    const char *kind = strpbrk(mode, "wa+") ? "create" : "open";          \
    ACT(FILE *, kind, whole, NULL, real(path, mode));                     \
  }
FOPEN(fopen)
FOPEN(fopen64)

// Operations on one path: the parameters, and how they are handed on.
#define ON_PATH(type, failure, kind, name, folder, parameters, arguments) \
  type name parameters {                                                  \
    static type(*real) parameters;                                        \
    if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);        \
    if (IDLE) return real arguments;                                      \
    char whole[PATH_MAX];                                                 \
    path_of(folder, path, whole);                                         \
    ACT(type, kind, whole, failure, real arguments);                      \
  }
#define HERE(kind, name, parameters, arguments) \
  ON_PATH(int, -1, kind, name, AT_FDCWD, parameters, arguments)
#define BELOW(kind, name, parameters, arguments) \
  ON_PATH(int, -1, kind, name, folder, parameters, arguments)
HERE("unlink", unlink, (const char *path), (path))
HERE("unlink", rmdir, (const char *path), (path))
BELOW("unlink", unlinkat, (int folder, const char *path, int f),
      (folder, path, f))
HERE("mkdir", mkdir, (const char *path, mode_t m), (path, m))
BELOW("mkdir", mkdirat, (int folder, const char *path, mode_t m),
      (folder, path, m))
HERE("truncate", truncate, (const char *path, off_t n), (path, n))
HERE("truncate", truncate64, (const char *path, off64_t n), (path, n))
HERE("rename", rename, (const char *from, const char *path), (from, path))
BELOW("rename", renameat,
      (int old, const char *from, int folder, const char *path),
      (old, from, folder, path))
HERE("link", link, (const char *from, const char *path), (from, path))
BELOW("link", linkat,
      (int old, const char *from, int folder, const char *path, int f),
      (old, from, folder, path, f))
HERE("link", symlink, (const char *from, const char *path), (from, path))
HERE("stat", stat, (const char *path, struct stat *s), (path, s))
HERE("stat", stat64, (const char *path, struct stat64 *s), (path, s))
HERE("stat", lstat, (const char *path, struct stat *s), (path, s))
HERE("stat", lstat64, (const char *path, struct stat64 *s), (path, s))
HERE("stat", __xstat, (int v, const char *path, struct stat *s), (v, path, s))
HERE("stat", __lxstat, (int v, const char *path, struct stat *s), (v, path, s))
HERE("stat", __xstat64, (int v, const char *path, struct stat64 *s),
     (v, path, s))
BELOW("stat", fstatat64, (int folder, const char *path, struct stat64 *s, int f),
      (folder, path, s, f))
HERE("stat", access, (const char *path, int m), (path, m))
ON_PATH(DIR *, NULL, "list", opendir, AT_FDCWD, (const char *path), (path))

// Operations on a descriptor; half of a write is what its death leaves.
#define ON_FILE(type, failure, kind, name, file, parameters, arguments) \
  type name parameters {                                                \
    static type(*real) parameters;                                      \
    if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);      \
    if (IDLE) return real arguments;                                    \
    char whole[PATH_MAX];                                               \
    path_of(file, NULL, whole);                                         \
    ACT(type, kind, whole, failure, real arguments);                    \
  }
ON_FILE(int, -1, "fsync", fsync, d, (int d), (d))
ON_FILE(int, -1, "fsync", fdatasync, d, (int d), (d))
ON_FILE(int, -1, "truncate", ftruncate, d, (int d, off_t n), (d, n))
ON_FILE(int, -1, "truncate", ftruncate64, d, (int d, off64_t n), (d, n))
ON_FILE(ssize_t, -1, "write", pwrite64, d,
        (int d, const void *b, size_t n, off64_t at), (d, b, n, at))
ON_FILE(ssize_t, -1, "write", sendfile, d,
        (int d, int from, off_t *at, size_t n), (d, from, at, n))
ON_FILE(ssize_t, -1, "write", sendfile64, d,
        (int d, int from, off64_t *at, size_t n), (d, from, at, n))
ON_FILE(ssize_t, -1, "write", copy_file_range, d,
        (int from, off64_t *a, int d, off64_t *b, size_t n, unsigned f),
        (from, a, d, b, n, f))
ON_FILE(ssize_t, -1, "read", read, d, (int d, void *b, size_t n), (d, b, n))
ON_FILE(ssize_t, -1, "read", pread, d, (int d, void *b, size_t n, off_t at),
        (d, b, n, at))
ON_FILE(ssize_t, -1, "read", pread64, d,
        (int d, void *b, size_t n, off64_t at), (d, b, n, at))
ON_FILE(size_t, 0, "read", fread, fileno(f),
        (void *b, size_t s, size_t n, FILE *f), (b, s, n, f))
ON_FILE(DIR *, NULL, "list", fdopendir, d, (int d), (d))

ssize_t write(int file, const void *bytes, size_t size) {
  REAL(ssize_t, "write", int, const void *, size_t)
  if (IDLE) return real(file, bytes, size);
  char whole[PATH_MAX];
  path_of(file, NULL, whole);
  int answer = ask("write", whole, size);
  if (answer > 0) {
    done();
    errno = answer;
    return -1;
  }
  ssize_t result = real(file, bytes, answer == TEAR ? size / 2 : size);
  if (answer == TEAR) die();
  done();
  return result;
}

static int writable(FILE *file) {
  return file && (fcntl(fileno(file), F_GETFL) & O_ACCMODE) != O_RDONLY;
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file) {
  REAL(size_t, "fwrite", const void *, size_t, size_t, FILE *)
  if (IDLE) return real(bytes, size, count, file);
  char whole[PATH_MAX];
  path_of(fileno(file), NULL, whole);
  int answer = ask("write", whole, size * count);
  if (answer > 0) {
    done();
    errno = answer;
    return 0;
  }
  if (answer == TEAR) {
    real(bytes, 1, size * count / 2, file);
    fflush(file);
    die();
  }
  size_t result = real(bytes, size, count, file);
  done();
  return result;
}

// A buffer whose writing fails is lost, as it is where the disk is full.
#define ON_STREAM(name)                                      \
  int name(FILE *file) {                                           \
    REAL(int, #name, FILE *)                                       \
    if (IDLE || !writable(file)) return real(file);                \
    char whole[PATH_MAX];                                          \
    path_of(fileno(file), NULL, whole);                            \
    int answer = ask("flush", whole, 0);                           \
    if (answer == TEAR) die();                                     \
    int result = real(file);                                       \
    done();                                                        \
    if (answer > 0) {                                              \
      errno = answer;                                              \
      return EOF;                                                  \
    }                                                              \
    return result;                                                 \
  }
ON_STREAM(fflush)
ON_STREAM(fclose)
