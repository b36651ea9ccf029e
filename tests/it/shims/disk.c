/*
 * A disk that fails on request, below a process: preloaded, it stands before the calls that change
 * files of one folder.
 *
 * DISK_FOLDER   the folder; files elsewhere are left alone
 * DISK_CONTROL  a file of at least 4096 bytes, mapped as `struct control`
 * DISK_SHADOW   a folder that gets what a power cut would leave; without it nothing is kept
 *
 * What the shadow has: pages written since the last good sync of a file are missing there, but for some
 * that the system wrote back early. A sync that fails loses the pages that waited for it, though whoever
 * reads the file goes on seeing them, as Linux does it. Removing a file lasts from the next good sync of
 * anything on, and files whose name ends with -shm mean nothing after a power cut.
 *
 * Not modelled: renames, writes through a mapping, and several folders.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define FILES_MAX 64
#define WRITES 1
#define SYNCS 2
#define NO_BOUND UINT64_MAX

struct control {
    /* Writes and syncs of the chosen kinds so far. */
    _Atomic uint64_t operations;
    /* The first that fails, counted from 1; 0 for none. */
    _Atomic uint64_t fail_from;
    /* How many fail. */
    _Atomic uint64_t fail_count;
    /* What they fail with. */
    _Atomic uint64_t error;
    /* Which are counted: WRITES, SYNCS or both. */
    _Atomic uint64_t kinds;
    /* How far files may still grow. */
    _Atomic uint64_t room;
    /* How many failed, for lack of room too. */
    _Atomic uint64_t failed;
    /* Files of the folder cannot be opened for writing, and nothing can be written. */
    _Atomic uint64_t read_only;
};

struct file {
    dev_t device;
    ino_t number;
    char name[NAME_MAX + 1];
    unsigned char *dirty; /* a byte a page */
    size_t pages;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct control *control;
static const char *folder, *shadow;
static struct file files[FILES_MAX];
/* Files that are gone, but not yet for a power cut. */
static char removed[FILES_MAX][NAME_MAX + 1];
static uint64_t dice = 88172645463325252u;

static ssize_t (*next_write)(int, const void *, size_t);
static ssize_t (*next_pwrite)(int, const void *, size_t, off_t);
static int (*next_fsync)(int);
static int (*next_fdatasync)(int);
static int (*next_ftruncate)(int, off_t);
static int (*next_unlink)(const char *);
static int (*next_open)(const char *, int, ...);

__attribute__((constructor)) static void begin(void) {
    next_write = dlsym(RTLD_NEXT, "write");
    next_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    next_fsync = dlsym(RTLD_NEXT, "fsync");
    next_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    next_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    next_unlink = dlsym(RTLD_NEXT, "unlink");
    next_open = dlsym(RTLD_NEXT, "open64");
    const char *path = getenv("DISK_CONTROL");
    int fd = path ? next_open(path, O_RDWR) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) return;
    control = mapped;
    folder = getenv("DISK_FOLDER");
    shadow = getenv("DISK_SHADOW");
    dice ^= (uint64_t)getpid() << 20;
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), of_end = strlen(end);
    return length >= of_end && !strcmp(text + length - of_end, end);
}

/* The name within the folder, or NULL. */
static const char *name_of(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    if (!length || strncmp(path, folder, length) || path[length] != '/') return NULL;
    const char *name = path + length + 1;
    return strchr(name, '/') || !*name ? NULL : name;
}

static struct file *file_of(int fd, struct stat *st) {
    if (fd <= 2 || !folder || fstat(fd, st) || !S_ISREG(st->st_mode)) return NULL;
    struct file *unused = NULL;
    for (int i = 0; i < FILES_MAX; i++) {
        if (!files[i].name[0]) unused = unused ? unused : &files[i];
        else if (files[i].number == st->st_ino && files[i].device == st->st_dev) return &files[i];
    }
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    const char *name = name_of(path);
    if (!name) return NULL;
    if (!unused) abort();
    memset(unused, 0, sizeof *unused);
    unused->device = st->st_dev;
    unused->number = st->st_ino;
    snprintf(unused->name, sizeof unused->name, "%s", name);
    return unused;
}

static void make_dirty(struct file *file, off_t from, off_t to) {
    size_t pages = (to + PAGE - 1) / PAGE;
    if (pages > file->pages) {
        file->dirty = realloc(file->dirty, pages);
        if (!file->dirty) abort();
        memset(file->dirty + file->pages, 0, pages - file->pages);
        file->pages = pages;
    }
    for (size_t page = from / PAGE; page < pages; page++) file->dirty[page] = 1;
}

static int shadow_file(const char *name, int flags) {
    char path[PATH_MAX + NAME_MAX + 2];
    snprintf(path, sizeof path, "%s/%s", shadow, name);
    return next_open(path, O_WRONLY | O_CLOEXEC | flags, 0600);
}

/* One page from the file to its shadow. Through the handle that is there: closing another would
   release the locks of this process. */
static void keep_page(int fd, int to, size_t page, off_t size) {
    char bytes[PAGE];
    off_t at = (off_t)page * PAGE;
    if (at >= size) return;
    ssize_t count = pread(fd, bytes, PAGE, at);
    if (count > 0 && next_pwrite(to, bytes, count, at) != count) abort();
}

static void forget_removed(void) {
    for (int i = 0; i < FILES_MAX; i++) {
        if (!removed[i][0]) continue;
        char path[PATH_MAX + NAME_MAX + 2];
        snprintf(path, sizeof path, "%s/%s", shadow, removed[i]);
        next_unlink(path);
        removed[i][0] = 0;
    }
}

static int is_removed(const char *name) {
    for (int i = 0; i < FILES_MAX; i++)
        if (!strcmp(removed[i], name)) return 1;
    return 0;
}

static void synced(int fd, struct file *file, struct stat *st) {
    if (!shadow || ends_with(file->name, "-shm")) return;
    forget_removed();
    int to = shadow_file(file->name, O_CREAT);
    if (to < 0 || next_ftruncate(to, st->st_size)) abort();
    for (size_t page = 0; page < file->pages; page++)
        if (file->dirty[page]) keep_page(fd, to, page, st->st_size);
    if (file->pages) memset(file->dirty, 0, file->pages);
    close(to);
}

/* The system writes some pages back before anybody asks for it. */
static void write_back(int fd, struct file *file, off_t from, off_t to, off_t size) {
    if (!shadow || ends_with(file->name, "-shm") || is_removed(file->name)) return;
    for (size_t page = from / PAGE; (off_t)page * PAGE < to; page++) {
        dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
        if (dice % 5) continue;
        int kept = shadow_file(file->name, 0);
        if (kept < 0) return;
        keep_page(fd, kept, page, size);
        close(kept);
    }
}

/* The error that this operation ends with, or 0. */
static int fault(int kind) {
    if (control->read_only) {
        control->failed++;
        return EROFS;
    }
    if (!(control->kinds & kind)) return 0;
    uint64_t operation = ++control->operations, from = control->fail_from;
    if (!from || operation < from || operation - from >= control->fail_count) return 0;
    control->failed++;
    return (int)control->error;
}

static ssize_t write_at(int fd, const void *bytes, size_t count, off_t at, int seeks, struct file *file,
                        struct stat *st) {
    off_t end = at + (off_t)count;
    int error = fault(WRITES);
    if (error) {
        /* Half of it is written all the same. */
        count /= 2;
        end = at + (off_t)count;
    } else if (end > st->st_size && control->room != NO_BOUND) {
        uint64_t growth = end - (at > st->st_size ? at : st->st_size);
        if (growth > control->room) {
            control->failed++;
            errno = ENOSPC;
            return -1;
        }
        control->room -= growth;
    }
    ssize_t done = error && control->read_only ? 0 : next_pwrite(fd, bytes, count, at);
    if (done > 0) {
        off_t size = end > st->st_size ? end : st->st_size;
        make_dirty(file, at < st->st_size ? at : st->st_size, at + done);
        write_back(fd, file, at, at + done, size);
        if (seeks && !error) lseek(fd, at + done, SEEK_SET);
    }
    if (error) {
        errno = error;
        return -1;
    }
    return done;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    struct stat st;
    pthread_mutex_lock(&lock);
    struct file *file = control ? file_of(fd, &st) : NULL;
    ssize_t result;
    if (file) {
        result = write_at(fd, bytes, count, lseek(fd, 0, SEEK_CUR), 1, file, &st);
        pthread_mutex_unlock(&lock);
        return result;
    }
    pthread_mutex_unlock(&lock);
    return next_write(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    struct stat st;
    pthread_mutex_lock(&lock);
    struct file *file = control ? file_of(fd, &st) : NULL;
    ssize_t result = file ? write_at(fd, bytes, count, at, 0, file, &st) : next_pwrite(fd, bytes, count, at);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

static int is_folder(int fd) {
    struct stat st, of_folder;
    return folder && !fstat(fd, &st) && S_ISDIR(st.st_mode) && !stat(folder, &of_folder) &&
           st.st_ino == of_folder.st_ino && st.st_dev == of_folder.st_dev;
}

static int sync_with(int (*next)(int), int fd) {
    struct stat st;
    pthread_mutex_lock(&lock);
    struct file *file = control ? file_of(fd, &st) : NULL;
    int of_folder = control && !file && is_folder(fd);
    int error = file || of_folder ? fault(SYNCS) : 0;
    int result = -1;
    if (error) {
        if (file && file->pages) memset(file->dirty, 0, file->pages);
        errno = error;
    } else {
        /* With a shadow nobody needs the real disk. */
        result = shadow && (file || of_folder) ? 0 : next(fd);
        if (!result && file) synced(fd, file, &st);
        if (!result && of_folder && shadow) forget_removed();
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return sync_with(next_fsync, fd); }
int fdatasync(int fd) { return sync_with(next_fdatasync, fd); }

int ftruncate64(int fd, off_t size) {
    struct stat st;
    pthread_mutex_lock(&lock);
    struct file *file = control ? file_of(fd, &st) : NULL;
    int error = file ? fault(WRITES) : 0;
    if (error) errno = error;
    int result = error ? -1 : next_ftruncate(fd, size);
    if (!result && file) {
        if (size < st.st_size && control->room != NO_BOUND) control->room += st.st_size - size;
        make_dirty(file, size < st.st_size ? size : st.st_size, size + 1);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
    struct stat st;
    pthread_mutex_lock(&lock);
    const char *name = control ? name_of(path) : NULL;
    int known = name && !stat(path, &st);
    int result = next_unlink(path);
    if (known && !result) {
        if (control->room != NO_BOUND) control->room += st.st_size;
        for (int i = 0; i < FILES_MAX; i++) {
            if (files[i].number != st.st_ino || files[i].device != st.st_dev) continue;
            free(files[i].dirty);
            memset(&files[i], 0, sizeof files[i]);
        }
        for (int i = 0; shadow && !is_removed(name); i++) {
            if (i == FILES_MAX) abort();
            if (!removed[i][0]) snprintf(removed[i], sizeof removed[i], "%s", name);
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (control && control->read_only && (flags & O_ACCMODE) != O_RDONLY && name_of(path)) {
        errno = EROFS;
        return -1;
    }
    return next_open(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open64(path, flags, mode);
}
