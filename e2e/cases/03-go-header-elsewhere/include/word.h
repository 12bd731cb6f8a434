#define WORD "first word"
