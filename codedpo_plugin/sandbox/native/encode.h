/* The texts that encoding.encode makes, for values of the commonest types. */

#ifndef CODEDPO_ENCODE_H
#define CODEDPO_ENCODE_H

#include "common.h"

#define TEXT 2048 /* bytes; longer values are encoded by encoding.py */
#define DEPTH 20

typedef struct {
    char data[TEXT];
    size_t size;
} Text;

static int put(Text *text, const char *data, size_t size)
{
    if (text->size + size > TEXT)
        return 0;
    memcpy(text->data + text->size, data, size);
    text->size += size;
    return 1;
}

#define PUT(text, literal) put(text, literal, sizeof literal - 1)

static int put_string(Text *text, PyObject *value)
{
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(value, &size);
    if (!data) {
        PyErr_Clear(); /* a lone surrogate */
        return 0;
    }
    for (Py_ssize_t i = 0; i < size; i++)
        if (data[i] < ' ' || data[i] > '~' || data[i] == '"' || data[i] == '\\')
            return 0;
    return PUT(text, "\"") && put(text, data, size) && PUT(text, "\"");
}

static int put_number(Text *text, PyObject *value, PyTypeObject *kind)
{
    if (kind == &PyLong_Type) {
        char digits[32];
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        return !overflow && put(text, digits, snprintf(digits, sizeof digits, "%lld", number));
    }
    double number = PyFloat_AsDouble(value);
    if (number != number || number - number != 0.0)
        return 0; /* not finite */
    char *digits = PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    int done = digits && put(text, digits, strlen(digits));
    PyMem_Free(digits);
    return done;
}

static int put_value(Text *text, PyObject *value, int depth);

static int put_dict(Text *text, PyObject *value, int depth)
{
    Py_ssize_t position = 0, count = 0;
    PyObject *key, *item;
    if (!PUT(text, "{\"dict\":["))
        return 0;
    while (PyDict_Next(value, &position, &key, &item)) {
        if (count++ && !PUT(text, ","))
            return 0;
        if (!PUT(text, "[") || !put_value(text, key, depth + 1) || !PUT(text, ",") ||
            !put_value(text, item, depth + 1) || !PUT(text, "]"))
            return 0;
    }
    return PUT(text, "]}");
}

/* Append the text of a value; 0 if encoding.py has to encode it. Runs no code of the program, as it
   handles exact types only. */
static int put_value(Text *text, PyObject *value, int depth)
{
    PyTypeObject *kind = Py_TYPE(value);
    if (value == Py_None)
        return PUT(text, "null");
    if (kind == &PyBool_Type)
        return value == Py_True ? PUT(text, "true") : PUT(text, "false");
    if (kind == &PyUnicode_Type)
        return put_string(text, value);
    if (kind == &PyLong_Type || kind == &PyFloat_Type)
        return put_number(text, value, kind);
    if (depth >= DEPTH)
        return 0;
    if (kind == &PyDict_Type)
        return put_dict(text, value, depth);
    if (kind != &PyList_Type && kind != &PyTuple_Type)
        return 0;
    int tuple = kind == &PyTuple_Type;
    if (!(tuple ? PUT(text, "{\"tuple\":[") : PUT(text, "[")))
        return 0;
    Py_ssize_t size = tuple ? PyTuple_Size(value) : PyList_Size(value);
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *item = tuple ? PyTuple_GetItem(value, i) : PyList_GetItem(value, i);
        if ((i && !PUT(text, ",")) || !put_value(text, item, depth + 1))
            return 0;
    }
    return tuple ? PUT(text, "]}") : PUT(text, "]");
}

#endif
