/* One line that says on what machine figures were measured. */
#pragma once

void bench_print_machine(void);
