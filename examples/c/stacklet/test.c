/* What stacklet.h says, tried. Ends with "all right". */

#include "../check.h"
#include "stacklet.h"

#include <stdint.h>
#include <string.h>

#define MANY 50

static stacklet_thread_handle thread;
static stacklet_handle waiting[MANY];
static int ended;
static char **kept;

/* Goes back and forth with whoever holds its handle, as often as it is told. */
static stacklet_handle ping(stacklet_handle source, void *argument)
{
    volatile char mine[100];
    int rounds = (int)(intptr_t)argument;

    memset((char *)mine, rounds, sizeof mine);
    for (int i = 0; i < rounds; i++) {
        source = stacklet_switch(source);
        CHECK(source && source != EMPTY_STACKLET_HANDLE);
        for (size_t at = 0; at < sizeof mine; at++)
            CHECK(mine[at] == (char)rounds);
    }
    ended++;
    return source;
}

static void back_and_forth(void)
{
    stacklet_handle other = stacklet_new(thread, ping, (void *)0);

    CHECK(other == EMPTY_STACKLET_HANDLE && ended == 1);
    other = stacklet_new(thread, ping, (void *)5);
    for (int i = 0; i < 4; i++)
        CHECK((other = stacklet_switch(other)) != EMPTY_STACKLET_HANDLE);
    CHECK(stacklet_switch(other) == EMPTY_STACKLET_HANDLE && ended == 2);
}

static void many_in_any_order(void)
{
    int left = MANY;

    ended = 0;
    for (intptr_t i = 0; i < MANY; i++)
        CHECK((waiting[i] = stacklet_new(thread, ping, (void *)(i % 7 + 1))) != NULL);
    for (unsigned i = 0; left; i = (i + 13) % 53)
        if (i < MANY && waiting[i] != EMPTY_STACKLET_HANDLE) {
            waiting[i] = stacklet_switch(waiting[i]);
            left -= waiting[i] == EMPTY_STACKLET_HANDLE;
        }
    CHECK(ended == MANY);
}

static stacklet_handle chain(stacklet_handle source, void *argument)
{
    int depth = (int)(intptr_t)argument;

    if (depth > 0)
        CHECK(stacklet_new(thread, chain, (void *)(intptr_t)(depth - 1)) == EMPTY_STACKLET_HANDLE);
    ended++;
    return source;
}

static stacklet_handle keep(stacklet_handle source, void *argument)
{
    char *word = argument;

    kept = &word;
    source = stacklet_switch(source);
    CHECK(strcmp(word, "after") == 0);
    return source;
}

static void destroyed_and_translated(void)
{
    static char before[] = "before", after[] = "after";
    stacklet_handle one = stacklet_new(thread, ping, (void *)3), two = stacklet_new(thread, keep, before);

    stacklet_destroy(one);
    CHECK(*_stacklet_translate_pointer(two, kept) == before);
    CHECK(_stacklet_translate_pointer(NULL, kept) == kept);
    *_stacklet_translate_pointer(two, kept) = after;
    CHECK(stacklet_switch(two) == EMPTY_STACKLET_HANDLE);
}

int main(void)
{
    CHECK((thread = stacklet_newthread()) != NULL);
    back_and_forth();
    many_in_any_order();
    ended = 0;
    CHECK(stacklet_new(thread, chain, (void *)20) == EMPTY_STACKLET_HANDLE && ended == 21);
    destroyed_and_translated();
    stacklet_deletethread(thread);
    printf("stacklet: all right\n");
    return 0;
}
