/* The hot loops of training in C: calling an op of one to three inputs on tensors, the reverse pass over plain arrays,
   steps of SGD and Adam; what stands around the one native call of a compiled step; and what the processor is.

   What they do is written down in Python, which is what runs where this module could not be built, and what the tests
   compare it with to the bit: in `dispatch.py` (unary, binary, ternary), `tape.py` (reachable, pullback), `optim/adam.py`,
   and, of `compiler/`, in `compile.py`, `guards.py`, `watched.py`, `llvm/pool.py` and `native/`.
   Arrays are opaque objects here, or buffers: nothing depends on NumPy's headers or memory layout. Whatever is not the
   common case goes back to Python. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <structmember.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

/* Set once by `configure`. */
static PyTypeObject *ndarray_type, *tensor_type, *node_type, *plain_type, *leaf_type;
static PyObject *single_dtype, *double_dtype, *mode_variable, *recording_mode, *silent_mode;
static PyObject *next_number, *as_array, *number_array, *numbers_single, *numbers_double, *fail, *freed, *collect, *propagate;
static PyObject *no_params, *nothing, *no_pair;
static Py_ssize_t tensor_data, tensor_node;
static Py_ssize_t at_number, at_op, at_edges, at_saved, at_output, at_dtype, at_params, at_shapes, at_casts;
static PyObject *str_dtype, *str_shape, *str_rules, *str_cast, *str_advanced, *str_copy;

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

static inline void put(PyObject *object, Py_ssize_t offset, PyObject *value) {
    SLOT(object, offset) = Py_NewRef(value); /* the slot of a new object is empty */
}

/* The array of a tensor that holds one, borrowed; NULL (without an error) for everything else. */
static inline PyObject *array_of(PyObject *value) {
    if (Py_TYPE(value) != tensor_type && !PyType_IsSubtype(Py_TYPE(value), tensor_type)) return NULL;
    PyObject *data = SLOT(value, tensor_data);
    if (data == NULL || SLOT(value, tensor_node) == NULL) return NULL; /* not initialised: Python will say so */
    return Py_TYPE(data) == ndarray_type ? data : NULL;
}

/* ---- calling elementwise ops ---- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *dict, *op, *function, *slow;
    int broadcasts, keep_first, keep_second, keep_output;
} Dispatcher;

static PyObject *failed(Dispatcher *self, PyObject *const *arrays, Py_ssize_t count) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL) PyException_SetTraceback(value, trace);
    PyObject *values = PyTuple_New(count);
    if (values != NULL) {
        for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(values, i, Py_NewRef(arrays[i]));
        PyObject *result = PyObject_CallFunctionObjArgs(fail, self->op, values, value, NULL); /* raises */
        Py_XDECREF(result);
        Py_DECREF(values);
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return NULL;
}

/* A new tensor around `out` (stolen), and a node for it if `recorded`. */
static PyObject *tensor_of(PyObject *out) {
    PyObject *result = tensor_type->tp_alloc(tensor_type, 0);
    if (result == NULL) {
        Py_DECREF(out);
        return NULL;
    }
    SLOT(result, tensor_data) = out;
    put(result, tensor_node, Py_None);
    return result;
}

static int record(Dispatcher *self, PyObject *result, PyTypeObject *type, PyObject *edges, PyObject *saved, PyObject *dtype) {
    /* steals edges and saved */
    PyObject *node = type->tp_alloc(type, 0);
    PyObject *number = node == NULL ? NULL : PyObject_CallNoArgs(next_number);
    if (number == NULL || edges == NULL || saved == NULL) {
        Py_XDECREF(node);
        Py_XDECREF(number);
        Py_XDECREF(edges);
        Py_XDECREF(saved);
        return -1;
    }
    SLOT(node, at_number) = number;
    put(node, at_op, self->op);
    SLOT(node, at_edges) = edges;
    SLOT(node, at_saved) = saved;
    put(node, at_output, self->keep_output ? SLOT(result, tensor_data) : Py_None);
    put(node, at_dtype, dtype);
    Py_SETREF(SLOT(result, tensor_node), node);
    return 0;
}

static PyObject *settled(PyObject *out) {
    if (Py_TYPE(out) == ndarray_type) return out;
    PyObject *array = PyObject_CallOneArg(as_array, out); /* NumPy returns scalars for 0-d results */
    Py_DECREF(out);
    return array;
}

/* The mode of this thread, borrowed for good (modes that matter here live forever); NULL if it is neither of the two. */
static inline PyObject *plain_mode(void) {
    PyObject *mode = NULL;
    if (PyContextVar_Get(mode_variable, NULL, &mode) < 0) return NULL;
    Py_XDECREF(mode);
    return mode == recording_mode || mode == silent_mode ? mode : NULL;
}

/* single_dtype or double_dtype if the array has one of these, borrowed; NULL without an error otherwise. */
static inline PyObject *common_dtype(PyObject *array) {
    PyObject *dtype = PyObject_GetAttr(array, str_dtype);
    if (dtype == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(dtype);
    return dtype == single_dtype || dtype == double_dtype ? dtype : NULL;
}

static PyObject *call_unary(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names) {
    Dispatcher *self = (Dispatcher *)callable;
    PyObject *mode, *x, *dtype;
    if (PyVectorcall_NARGS(nargsf) != 1 || names != NULL) goto slow;
    if (Py_TYPE(args[0]) == ndarray_type) return PyObject_CallOneArg(self->function, args[0]);
    x = array_of(args[0]);
    if (x == NULL || (mode = plain_mode()) == NULL || (dtype = common_dtype(x)) == NULL) goto slow;
    PyObject *out = PyObject_CallOneArg(self->function, x);
    if (out == NULL) return failed(self, &x, 1);
    if ((out = settled(out)) == NULL) return NULL;
    PyObject *result = tensor_of(out);
    if (result == NULL) return NULL;
    PyObject *edge = SLOT(args[0], tensor_node);
    if (edge == Py_None || mode == silent_mode) return result;
    PyObject *saved = self->keep_first ? PyTuple_Pack(1, x) : Py_NewRef(nothing);
    if (record(self, result, plain_type, PyTuple_Pack(1, edge), saved, dtype) < 0) {
        Py_DECREF(result);
        return NULL;
    }
    return result;
slow:
    if (PyErr_Occurred()) return NULL;
    return PyObject_Vectorcall(self->slow, args, nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET, names);
}

static PyObject *call_binary(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names) {
    Dispatcher *self = (Dispatcher *)callable;
    PyObject *mode, *x, *y, *dtype, *edge, *other = Py_None, *shapes = NULL, *result = NULL;
    int number = 0;
    if (PyVectorcall_NARGS(nargsf) != 2 || names != NULL) goto slow;
    x = array_of(args[0]);
    if (x == NULL) {
        if (!self->broadcasts && Py_TYPE(args[0]) == ndarray_type && Py_TYPE(args[1]) == ndarray_type)
            return PyObject_Vectorcall(self->function, args, 2, NULL);
        goto slow;
    }
    if ((mode = plain_mode()) == NULL || (dtype = common_dtype(x)) == NULL) goto slow;
    if (PyFloat_CheckExact(args[1]) || PyLong_CheckExact(args[1])) {
        number = 1;
        y = PyDict_GetItemWithError(dtype == double_dtype ? numbers_double : numbers_single, args[1]);
        y = y != NULL ? Py_NewRef(y) : PyObject_CallFunctionObjArgs(number_array, args[1], dtype, NULL);
        if (y == NULL) return NULL;
    } else {
        y = array_of(args[1]);
        if (y == NULL || common_dtype(y) != dtype) goto slow;
        Py_INCREF(y);
        other = SLOT(args[1], tensor_node);
    }
    PyObject *pair[2] = {x, y};
    PyObject *out = PyObject_Vectorcall(self->function, pair, 2, NULL);
    if (out == NULL) {
        failed(self, pair, 2);
        goto done;
    }
    if ((out = settled(out)) == NULL || (result = tensor_of(out)) == NULL) goto done;
    edge = SLOT(args[0], tensor_node);
    if ((edge == Py_None && other == Py_None) || mode == silent_mode) goto done;
    PyTypeObject *type = plain_type;
    if (!number && self->broadcasts) {
        PyObject *a = PyObject_GetAttr(x, str_shape), *b = PyObject_GetAttr(y, str_shape);
        int same = a != NULL && b != NULL ? PyObject_RichCompareBool(a, b, Py_EQ) : -1;
        if (same == 0) {
            type = node_type;
            shapes = PyTuple_Pack(2, a, b);
        }
        Py_XDECREF(a);
        Py_XDECREF(b);
        if (same < 0 || (same == 0 && shapes == NULL)) goto fail;
    }
    PyObject *saved = self->keep_first || self->keep_second
        ? PyTuple_Pack(2, self->keep_first ? x : Py_None, self->keep_second ? y : Py_None) : Py_NewRef(no_pair);
    if (record(self, result, type, PyTuple_Pack(2, edge, other), saved, dtype) < 0) goto fail;
    if (shapes != NULL) {
        PyObject *node = SLOT(result, tensor_node);
        put(node, at_params, no_params);
        put(node, at_casts, Py_False);
        SLOT(node, at_shapes) = shapes;
        shapes = NULL;
    }
    goto done;
fail:
    Py_CLEAR(result);
done:
    Py_XDECREF(shapes);
    Py_DECREF(y);
    return result;
slow:
    if (PyErr_Occurred()) return NULL;
    return PyObject_Vectorcall(self->slow, args, nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET, names);
}

/* Three inputs, all of them tensors: an op whose rules read only what is saved, and do without the third. */
static PyObject *call_ternary(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names) {
    Dispatcher *self = (Dispatcher *)callable;
    PyObject *mode, *dtype, *arrays[3], *edges[3];
    if (PyVectorcall_NARGS(nargsf) != 3 || names != NULL) goto slow;
    for (int i = 0; i < 3; i++) {
        if ((arrays[i] = array_of(args[i])) == NULL) goto slow;
        edges[i] = SLOT(args[i], tensor_node);
    }
    if ((mode = plain_mode()) == NULL || (dtype = common_dtype(arrays[0])) == NULL) goto slow;
    if (common_dtype(arrays[1]) != dtype || common_dtype(arrays[2]) != dtype) goto slow;
    PyObject *out = PyObject_Vectorcall(self->function, arrays, 3, NULL);
    if (out == NULL) return failed(self, arrays, 3);
    PyObject *result = (out = settled(out)) == NULL ? NULL : tensor_of(out);
    if (result == NULL) return NULL;
    if ((edges[0] == Py_None && edges[1] == Py_None && edges[2] == Py_None) || mode == silent_mode) return result;
    PyObject *saved = PyTuple_Pack(3, self->keep_first ? arrays[0] : Py_None, self->keep_second ? arrays[1] : Py_None, Py_None);
    if (record(self, result, plain_type, PyTuple_Pack(3, edges[0], edges[1], edges[2]), saved, dtype) < 0) {
        Py_DECREF(result);
        return NULL;
    }
    return result;
slow:
    if (PyErr_Occurred()) return NULL;
    return PyObject_Vectorcall(self->slow, args, nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET, names);
}

static PyObject *dispatcher_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"op", "function", "slow", "arity", "broadcasts", "keep_first", "keep_second", "keep_output", NULL};
    PyObject *op, *function, *slow;
    int arity, broadcasts, keep_first, keep_second, keep_output;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOipppp", names, &op, &function, &slow, &arity, &broadcasts,
                                     &keep_first, &keep_second, &keep_output)) return NULL;
    if (plain_type == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "configure() has not been called");
        return NULL;
    }
    if (arity < 1 || arity > 3) {
        PyErr_Format(PyExc_ValueError, "expected one to three inputs, got %d", arity);
        return NULL;
    }
    Dispatcher *self = (Dispatcher *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->vectorcall = arity == 1 ? call_unary : arity == 2 ? call_binary : call_ternary;
    self->op = Py_NewRef(op);
    self->function = Py_NewRef(function);
    self->slow = Py_NewRef(slow);
    self->broadcasts = broadcasts;
    self->keep_first = keep_first;
    self->keep_second = keep_second;
    self->keep_output = keep_output;
    return (PyObject *)self;
}

static int dispatcher_traverse(Dispatcher *self, visitproc visit, void *arg) {
    Py_VISIT(self->dict);
    Py_VISIT(self->op);
    Py_VISIT(self->function);
    Py_VISIT(self->slow);
    return 0;
}

static int dispatcher_clear(Dispatcher *self) {
    Py_CLEAR(self->dict);
    Py_CLEAR(self->op);
    Py_CLEAR(self->function);
    Py_CLEAR(self->slow);
    return 0;
}

static void dispatcher_dealloc(Dispatcher *self) {
    PyObject_GC_UnTrack(self);
    dispatcher_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *dispatcher_get(PyObject *self, PyObject *object, PyObject *type) {
    return object == NULL || object == Py_None ? Py_NewRef(self) : PyMethod_New(self, object);
}

static PyMemberDef dispatcher_members[] = {
    {"op", T_OBJECT, offsetof(Dispatcher, op), READONLY, "the op that is called"},
    {NULL},
};

static PyGetSetDef dispatcher_attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

static PyTypeObject dispatcher_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "nasturtium.core.accelerate.Dispatcher",
    .tp_basicsize = sizeof(Dispatcher),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_new = dispatcher_new,
    .tp_dealloc = (destructor)dispatcher_dealloc,
    .tp_traverse = (traverseproc)dispatcher_traverse,
    .tp_clear = (inquiry)dispatcher_clear,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Dispatcher, vectorcall),
    .tp_dictoffset = offsetof(Dispatcher, dict),
    .tp_getattro = PyObject_GenericGetAttr,
    .tp_setattro = PyObject_GenericSetAttr,
    .tp_descr_get = dispatcher_get,
    .tp_members = dispatcher_members,
    .tp_getset = dispatcher_attributes,
};

/* ---- the reverse pass ---- */

typedef struct {
    long long number;
    PyObject *node; /* borrowed: the graph holds it */
} Entry;

static int newer_first(const void *a, const void *b) {
    long long x = ((const Entry *)a)->number, y = ((const Entry *)b)->number;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The nodes `root` depends on with numbers of at least `floor`, newest first; returns how many, -1 with an error. */
static Py_ssize_t reachable(PyObject *root, long long floor, Entry **result) {
    Py_ssize_t count = 0, room = 64;
    Entry *order = PyMem_New(Entry, room);
    PyObject *seen = PySet_New(NULL);
    if (order == NULL || seen == NULL) goto fail;
    if (PySet_Add(seen, root) < 0) goto fail;
    order[count].node = root;
    order[count++].number = PyLong_AsLongLong(SLOT(root, at_number));
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *edges = SLOT(order[i].node, at_edges);
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(edges); k++) {
            PyObject *edge = PyTuple_GET_ITEM(edges, k);
            if (edge == Py_None) continue;
            long long number = PyLong_AsLongLong(SLOT(edge, at_number));
            if (number < floor) continue;
            Py_ssize_t before = PySet_GET_SIZE(seen);
            if (PySet_Add(seen, edge) < 0) goto fail;
            if (PySet_GET_SIZE(seen) == before) continue;
            if (count == room) {
                Entry *more = PyMem_Resize(order, Entry, 2 * room);
                if (more == NULL) goto fail;
                order = more;
                room *= 2;
            }
            order[count].node = edge;
            order[count++].number = number;
        }
    }
    Py_DECREF(seen);
    qsort(order, (size_t)count, sizeof(Entry), newer_first);
    *result = order;
    return count;
fail:
    if (!PyErr_Occurred()) PyErr_NoMemory();
    PyMem_Free(order);
    Py_XDECREF(seen);
    return -1;
}

/* `gradient` as the node's dtype, a new reference. */
static PyObject *typed(PyObject *algebra, PyObject *node, PyObject *gradient) {
    PyObject *dtype = PyObject_GetAttr(gradient, str_dtype), *wanted = SLOT(node, at_dtype);
    if (dtype == NULL) return NULL;
    int same = dtype == wanted ? 1 : PyObject_RichCompareBool(dtype, wanted, Py_EQ);
    Py_DECREF(dtype);
    if (same < 0) return NULL;
    return same ? Py_NewRef(gradient) : PyObject_CallMethodObjArgs(algebra, str_cast, gradient, wanted, NULL);
}

/* Add `part` (stolen) to what is known of the gradient of `edge`. */
static int add(PyObject *gradients, PyObject *edge, PyObject *part) {
    PyObject *before = PyDict_GetItemWithError(gradients, edge);
    if (before == NULL && PyErr_Occurred()) {
        Py_DECREF(part);
        return -1;
    }
    if (before != NULL) {
        PyObject *total = PyNumber_Add(before, part);
        Py_DECREF(part);
        if (total == NULL) return -1;
        part = total;
    }
    int status = PyDict_SetItem(gradients, edge, part);
    Py_DECREF(part);
    return status;
}

/* One plain node: its rules, applied to its gradient. */
static int pull_plain(PyObject *node, PyObject *op, PyObject *g, PyObject *gradients) {
    PyObject *rules = PyObject_GetAttr(op, str_rules);
    if (rules == NULL) return -1;
    int status = -1;
    /* held: a rule is Python code, and might let go of the node's own */
    PyObject *edges = Py_NewRef(SLOT(node, at_edges)), *saved = Py_NewRef(SLOT(node, at_saved));
    PyObject *output = Py_NewRef(SLOT(node, at_output));
    Py_ssize_t inputs = PyTuple_GET_SIZE(saved);
    PyObject *arguments[5] = {g, output};
    if (inputs > 3) goto done; /* there is no such plain node */
    for (Py_ssize_t k = 0; k < inputs; k++) arguments[2 + k] = PyTuple_GET_ITEM(saved, k);
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(edges); k++) {
        PyObject *edge = PyTuple_GET_ITEM(edges, k), *rule = PyTuple_GET_ITEM(rules, k);
        if (edge == Py_None || rule == Py_None) continue;
        PyObject *part = PyObject_Vectorcall(rule, arguments, (size_t)(2 + inputs), NULL);
        if (part == NULL || add(gradients, edge, part) < 0) goto done;
    }
    status = 0;
done:
    Py_DECREF(output);
    Py_DECREF(saved);
    Py_DECREF(edges);
    Py_DECREF(rules);
    return status;
}

static PyObject *pullback(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 5) {
        PyErr_SetString(PyExc_TypeError, "pullback(root, seed, algebra, wanted, free)");
        return NULL;
    }
    PyObject *root = args[0], *seed = args[1], *algebra = args[2], *wanted = args[3];
    int release = PyObject_IsTrue(args[4]);
    if (!PyType_IsSubtype(Py_TYPE(root), node_type) || (wanted != Py_None && !PyFrozenSet_CheckExact(wanted))) {
        PyErr_SetString(PyExc_TypeError, "pullback: expected a node and a frozenset of nodes or None");
        return NULL;
    }
    long long floor = 0;
    if (wanted != Py_None) {
        int any = 0;
        PyObject *iterator = PyObject_GetIter(wanted), *item;
        if (iterator == NULL) return NULL;
        while ((item = PyIter_Next(iterator)) != NULL) {
            if (!PyType_IsSubtype(Py_TYPE(item), node_type)) {
                PyErr_SetString(PyExc_TypeError, "pullback: expected nodes");
                Py_DECREF(item);
                break;
            }
            long long number = PyLong_AsLongLong(SLOT(item, at_number));
            if (!any || number < floor) floor = number;
            any = 1;
            Py_DECREF(item);
        }
        Py_DECREF(iterator);
        if (PyErr_Occurred()) return NULL;
    }
    PyObject *found = PyDict_New(), *gradients = PyDict_New();
    Entry *order = NULL;
    Py_ssize_t count = 0;
    if (found == NULL || gradients == NULL || PyDict_SetItem(gradients, root, seed) < 0) goto fail;
    if ((count = reachable(root, floor, &order)) < 0) goto fail;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *node = order[i].node;
        PyObject *g = PyDict_GetItemWithError(gradients, node);
        if (g == NULL) {
            if (PyErr_Occurred()) goto fail;
            continue;
        }
        Py_INCREF(g);
        if (PyDict_DelItem(gradients, node) < 0) goto fail_g;
        PyObject *op = SLOT(node, at_op);
        int chosen = wanted == Py_None ? (op == Py_None && Py_TYPE(node) == leaf_type) : PySet_Contains(wanted, node);
        if (chosen < 0) goto fail_g;
        if (chosen) {
            PyObject *result = typed(algebra, node, g);
            if (result == NULL || PyDict_SetItem(found, node, result) < 0) {
                Py_XDECREF(result);
                goto fail_g;
            }
            Py_DECREF(result);
            if (wanted != Py_None && order[i].number == floor) {
                Py_DECREF(g);
                continue;
            }
        }
        if (op == Py_None) {
            if (Py_TYPE(node) != leaf_type) { /* one output of an op with several */
                PyObject *done = PyObject_CallFunctionObjArgs(collect, gradients, node, g, NULL);
                if (done == NULL) goto fail_g;
                Py_DECREF(done);
            }
            Py_DECREF(g);
            continue;
        }
        if (SLOT(node, at_saved) == Py_None) {
            PyObject *done = PyObject_CallOneArg(freed, op); /* raises */
            Py_XDECREF(done);
            goto fail_g;
        }
        if (Py_TYPE(node) == plain_type) {
            if (pull_plain(node, op, g, gradients) < 0) goto fail_g;
        } else {
            PyObject *done = PyObject_CallFunctionObjArgs(propagate, algebra, gradients, node, op, g,
                                                          SLOT(node, at_output), SLOT(node, at_saved), NULL);
            if (done == NULL) goto fail_g;
            Py_DECREF(done);
        }
        Py_DECREF(g);
        if (release) {
            Py_XSETREF(SLOT(node, at_saved), Py_NewRef(Py_None));
            Py_XSETREF(SLOT(node, at_output), Py_NewRef(Py_None));
        }
        continue;
    fail_g:
        Py_DECREF(g);
        goto fail;
    }
    PyMem_Free(order);
    Py_DECREF(gradients);
    return found;
fail:
    PyMem_Free(order);
    Py_XDECREF(gradients);
    Py_XDECREF(found);
    return NULL;
}

/* ---- vectors ---- */

/* One pass instead of eleven; element by element the same operations in the same order as NumPy's, so the same bits. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define VECTORIZED __attribute__((target_clones("avx2", "default")))
#else
#define VECTORIZED
#endif

#define DIRECTION(name, real, root)                                                                                     \
    VECTORIZED static void name(Py_ssize_t count, real *restrict first, real *restrict second, const real *restrict g, \
                                real *restrict direction, const double *c) {                                            \
        const real beta1 = (real)c[0], keep1 = (real)c[1], beta2 = (real)c[2], keep2 = (real)c[3];                      \
        const real correction = (real)c[4], epsilon = (real)c[5];                                                       \
        for (Py_ssize_t i = 0; i < count; i++) {                                                                        \
            first[i] = first[i] * beta1 + g[i] * keep1;                                                                 \
            second[i] = second[i] * beta2 + g[i] * g[i] * keep2;                                                        \
            direction[i] = first[i] / (root(second[i]) * correction + epsilon);                                         \
        }                                                                                                               \
    }

DIRECTION(direction_single, float, sqrtf)
DIRECTION(direction_double, double, sqrt)

/* weights -= gradient * rate */
#define DESCENT(name, real)                                                                                            \
    VECTORIZED static void name(Py_ssize_t count, real *restrict w, const real *restrict g, real rate) {               \
        for (Py_ssize_t i = 0; i < count; i++) w[i] = w[i] - g[i] * rate;                                              \
    }

DESCENT(descend_single, float)
DESCENT(descend_double, double)

/* out = y > 0 ? g : 0 */
#define MASKED(name, real)                                                                                             \
    VECTORIZED static void name(Py_ssize_t count, const real *restrict y, const real *restrict g, real *restrict out) { \
        for (Py_ssize_t i = 0; i < count; i++) out[i] = y[i] > 0 ? g[i] : 0;                                           \
    }

MASKED(masked_single, float)
MASKED(masked_double, double)

/* Views of contiguous vectors of one length, all float32 or all float64; those in the bit set `written` are writable.
   Returns how many were taken, less than `wanted` with an error. */
static int take(PyObject *const *objects, int wanted, unsigned written, Py_buffer *views) {
    for (int taken = 0; taken < wanted; taken++) {
        int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (written >> taken & 1 ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(objects[taken], &views[taken], flags) < 0) return taken;
        int fits = views[taken].len == views[0].len && strcmp(views[taken].format, views[0].format) == 0;
        if (!fits || (strcmp(views[0].format, "f") != 0 && strcmp(views[0].format, "d") != 0)) {
            PyErr_SetString(PyExc_TypeError, "expected float32 or float64 vectors, all of one dtype and length");
            return taken + 1;
        }
    }
    return wanted;
}

static PyObject *release(Py_buffer *views, int taken) {
    for (int i = 0; i < taken; i++) PyBuffer_Release(&views[i]);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyObject *adam_direction(PyObject *module, PyObject *args) {
    PyObject *o[4];
    double c[6];
    Py_buffer v[4];
    if (!PyArg_ParseTuple(args, "OOOOdddddd", &o[0], &o[1], &o[2], &o[3], &c[0], &c[1], &c[2], &c[3], &c[4], &c[5])) return NULL;
    int taken = take(o, 4, 1 | 2 | 8, v);
    if (PyErr_Occurred()) return release(v, taken);
    Py_ssize_t count = v[0].len / v[0].itemsize;
    Py_BEGIN_ALLOW_THREADS;
    if (v[0].itemsize == 4) direction_single(count, v[0].buf, v[1].buf, v[2].buf, v[3].buf, c);
    else direction_double(count, v[0].buf, v[1].buf, v[2].buf, v[3].buf, c);
    Py_END_ALLOW_THREADS;
    return release(v, taken);
}

static PyObject *descend(PyObject *module, PyObject *args) {
    PyObject *o[2];
    double rate;
    Py_buffer v[2];
    if (!PyArg_ParseTuple(args, "OOd", &o[0], &o[1], &rate)) return NULL;
    int taken = take(o, 2, 1, v);
    if (PyErr_Occurred()) return release(v, taken);
    Py_ssize_t count = v[0].len / v[0].itemsize;
    if (v[0].itemsize == 4) descend_single(count, v[0].buf, v[1].buf, (float)rate);
    else descend_double(count, v[0].buf, v[1].buf, rate);
    return release(v, taken);
}

static PyObject *mask_positive(PyObject *module, PyObject *args) {
    PyObject *o[3];
    Py_buffer v[3];
    if (!PyArg_ParseTuple(args, "OOO", &o[0], &o[1], &o[2])) return NULL;
    int taken = take(o, 3, 4, v);
    if (PyErr_Occurred()) return release(v, taken);
    Py_ssize_t count = v[0].len / v[0].itemsize;
    if (v[0].itemsize == 4) masked_single(count, v[0].buf, v[1].buf, v[2].buf);
    else masked_double(count, v[0].buf, v[1].buf, v[2].buf);
    return release(v, taken);
}

/* ---- around a compiled step ---- */

/* The items of a tuple of so many, borrowed; NULL with an error for everything else. */
static inline PyObject **items_of(PyObject *tuple, Py_ssize_t count) {
    if (PyTuple_CheckExact(tuple) && PyTuple_GET_SIZE(tuple) == count) return &PyTuple_GET_ITEM(tuple, 0);
    PyErr_SetString(PyExc_TypeError, "expected tuples of tuples");
    return NULL;
}

/* Whether a place holds what it held: the same object, or, of a list, whose items were noted as a kind of tuple, those. */
static inline int same_object(PyObject *now, PyObject *then) {
    if (now == then) return 1;
    if (!PyTuple_Check(then) || PyTuple_CheckExact(then) || !PyList_CheckExact(now) || PyList_GET_SIZE(now) != PyTuple_GET_SIZE(then)) return 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(then); i++)
        if (PyList_GET_ITEM(now, i) != PyTuple_GET_ITEM(then, i)) return 0;
    return 1;
}

/* The functions below return 1, 0, or -1 with an error; a name with `_py` is the same for Python. */

static inline PyObject *answer(int found) {
    return found < 0 ? NULL : Py_NewRef(found ? Py_True : Py_False);
}

/* (dict, length) pairs, (cell, object) pairs, (dict, key, object) triples, in tuples: whether all is the very same. */
static int unchanged(PyObject *sizes, PyObject *cells, PyObject *named) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(sizes); i++) {
        PyObject **place = items_of(PyTuple_GET_ITEM(sizes, i), 2);
        Py_ssize_t size = place == NULL ? -1 : PyLong_AsSsize_t(place[1]);
        if (size < 0) return PyErr_Occurred() ? -1 : 0;
        if (!PyDict_CheckExact(place[0]) || PyDict_GET_SIZE(place[0]) != size) return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(cells); i++) {
        PyObject **place = items_of(PyTuple_GET_ITEM(cells, i), 2);
        if (place == NULL) return -1;
        PyObject *now = PyCell_Check(place[0]) ? PyCell_GET(place[0]) : NULL;
        if (now == NULL || !same_object(now, place[1])) return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(named); i++) {
        PyObject **place = items_of(PyTuple_GET_ITEM(named, i), 3);
        if (place == NULL) return -1;
        PyObject *now = PyDict_CheckExact(place[0]) ? PyDict_GetItemWithError(place[0], place[1]) : NULL;
        if (now == NULL && PyErr_Occurred()) return -1;
        if (now == NULL || !same_object(now, place[2])) return 0;
    }
    return 1;
}

/* unchanged(sizes, cells, named): False for everything that is not the very same: then Python looks. */
static PyObject *unchanged_py(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count == 3 && PyTuple_CheckExact(args[0]) && PyTuple_CheckExact(args[1]) && PyTuple_CheckExact(args[2]))
        return answer(unchanged(args[0], args[1], args[2]));
    PyErr_SetString(PyExc_TypeError, "expected three tuples");
    return NULL;
}

/* Whether arguments are tensors on the CPU of these kinds, (shape, dtype, recorded) each, or floats where it is that. */
static int alike(PyObject *args, PyObject *kinds) {
    if (PyTuple_GET_SIZE(args) != PyTuple_GET_SIZE(kinds)) return 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); i++) {
        PyObject *tensor = PyTuple_GET_ITEM(args, i), *known = PyTuple_GET_ITEM(kinds, i);
        if (known == (PyObject *)&PyFloat_Type) {
            if (!PyFloat_CheckExact(tensor)) return 0;
            continue;
        }
        PyObject **kind = items_of(known, 3);
        if (kind == NULL) return -1;
        PyObject *data = Py_TYPE(tensor) == tensor_type ? array_of(tensor) : NULL;
        if (data == NULL || (SLOT(tensor, tensor_node) != Py_None) != (kind[2] == Py_True)) return 0;
        PyObject *dtype = PyObject_GetAttr(data, str_dtype), *shape = PyObject_GetAttr(data, str_shape);
        int same = dtype == NULL || shape == NULL ? -1 : dtype != kind[1] ? 0 : PyObject_RichCompareBool(shape, kind[0], Py_EQ);
        Py_XDECREF(dtype);
        Py_XDECREF(shape);
        if (same != 1) return same;
    }
    return 1;
}

static PyObject *alike_py(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count == 2 && PyTuple_CheckExact(args[0]) && PyTuple_CheckExact(args[1])) return answer(alike(args[0], args[1]));
    PyErr_SetString(PyExc_TypeError, "expected two tuples");
    return NULL;
}

/* Whether each of the tensors still holds the very array. */
static int holding(PyObject *tensors, PyObject *arrays) {
    if (PyTuple_GET_SIZE(tensors) != PyList_GET_SIZE(arrays)) return 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tensors); i++)
        if (array_of(PyTuple_GET_ITEM(tensors, i)) != PyList_GET_ITEM(arrays, i)) return 0;
    return 1;
}

static PyObject *holding_py(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count == 2 && PyTuple_CheckExact(args[0]) && PyList_CheckExact(args[1])) return answer(holding(args[0], args[1]));
    PyErr_SetString(PyExc_TypeError, "expected a tuple and a list");
    return NULL;
}

/* Whether all of a contiguous vector of 32- or 64-bit integers, read without their sign, are below a limit. */
static int below(PyObject *numbers, unsigned long long limit) {
    Py_buffer view;
    if (PyObject_GetBuffer(numbers, &view, PyBUF_C_CONTIGUOUS) < 0) return -1;
    uint64_t highest = 0;
    if (view.itemsize == 4) {
        const uint32_t *items = view.buf;
        uint32_t found = 0;
        for (Py_ssize_t i = 0; i < view.len / 4; i++) found = items[i] > found ? items[i] : found;
        highest = found;
    } else if (view.itemsize == 8) {
        const uint64_t *items = view.buf;
        for (Py_ssize_t i = 0; i < view.len / 8; i++) highest = items[i] > highest ? items[i] : highest;
    } else {
        PyErr_SetString(PyExc_TypeError, "expected integers of 32 or 64 bits");
    }
    int found = PyErr_Occurred() ? -1 : view.len == 0 || highest < limit;
    PyBuffer_Release(&view);
    return found;
}

static PyObject *below_py(PyObject *module, PyObject *args) {
    PyObject *numbers;
    unsigned long long limit;
    return PyArg_ParseTuple(args, "OK", &numbers, &limit) ? answer(below(numbers, limit)) : NULL;
}

/* What the native loop's `run` is called with, but for the number of threads, and without times. */
typedef struct {
    uintptr_t function, team, table;
    int64_t records, control;
} Run;

static void run(Run *of, int64_t threads) {
    void (*function)(void *, void *, int64_t, int64_t, int64_t, void *);
    memcpy(&function, &of->function, sizeof function);
    Py_BEGIN_ALLOW_THREADS;
    function((void *)of->team, (void *)of->table, of->records, threads, of->control, NULL);
    Py_END_ALLOW_THREADS;
}

/* call(function, team, table, records, threads, control): the native loop's `run`, without times. */
static PyObject *call(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 6) {
        PyErr_SetString(PyExc_TypeError, "expected six whole numbers");
        return NULL;
    }
    long long v[6];
    for (int i = 0; i < 6; i++) v[i] = PyLong_AsLongLong(args[i]);
    if (PyErr_Occurred()) return NULL;
    Run of = {(uintptr_t)v[0], (uintptr_t)v[1], (uintptr_t)v[2], v[3], v[5]};
    run(&of, v[4]);
    Py_RETURN_NONE;
}

/* ---- a compiled step, called again ---- */

/* Tuples, if nothing else is said; what each is for is said in `compiler/shortcut.py`. */
enum {
    KINDS, SIZES, CELLS, NAMED, TENSORS, SOURCES, BOUNDS, STATES, RESULTS,
    ARRAYS, WORKERS, /* lists */
    GIVEN, HELD,     /* dicts */
    MODE, DEVICES, ENTERED, CONVERT, BIND, PREPARE, ACQUIRE, RELEASE, ACQUIRE_POOL, RELEASE_POOL, FINISH, ASSEMBLE,
    PARTS,
};
static const char *part_names[PARTS] = {
    "kinds", "sizes", "cells", "named", "tensors", "sources", "bounds", "states", "results", "arrays", "workers", "given",
    "held", "mode", "devices", "entered", "convert", "bind", "prepare", "acquire", "release", "acquire_pool",
    "release_pool", "finish", "assemble",
};

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *parts[PARTS];
    Py_buffer counts; /* int64: how many threads run, and how often before Python compares numbers of threads again */
    Run run;
} Shortcut;

static int holds(PyObject *variable, PyObject *value) {
    PyObject *now;
    if (PyContextVar_Get(variable, NULL, &now) < 0) return -1;
    Py_XDECREF(now); /* somebody else holds what is compared */
    return now == value;
}

/* Call something, without an argument if that is NULL, and tell the truth of what it returns. */
static int told(PyObject *function, PyObject *argument) {
    PyObject *found = argument == NULL ? PyObject_CallNoArgs(function) : PyObject_CallOneArg(function, argument);
    int truth = found == NULL ? -1 : PyObject_IsTrue(found);
    Py_XDECREF(found);
    return truth;
}

/* Call something that must be called, whatever error there is already; NULL if there was or is one. */
static PyObject *finally(PyObject *function, PyObject *result) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    if (told(function, NULL) < 0) {
        Py_CLEAR(result);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(trace);
    } else PyErr_Restore(type, value, trace);
    return result;
}

/* The array of an argument, a new reference. */
static PyObject *array_at(Shortcut *self, PyObject *args, Py_ssize_t number) {
    PyObject *item = PyTuple_GET_ITEM(args, number);
    return PyFloat_CheckExact(item) ? PyObject_CallOneArg(self->parts[CONVERT], item) : Py_NewRef(SLOT(item, tensor_data));
}

/* Bind arguments that hold other memory than before, and look at numbers; 0 if Python has to say what is wrong. */
static int prepared(Shortcut *self, PyObject *args) {
    PyObject **p = self->parts;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(p[SOURCES]); i++) {
        PyObject **source = &PyTuple_GET_ITEM(PyTuple_GET_ITEM(p[SOURCES], i), 0); /* name, number of the argument */
        PyObject *array = array_at(self, args, PyLong_AsSsize_t(source[1]));
        if (array == NULL) return -1;
        PyObject *given = PyDict_GetItemWithError(p[GIVEN], source[0]);
        PyObject *bound = given == array ? Py_NewRef(Py_None)
            : given == NULL && PyErr_Occurred() ? NULL : PyObject_CallFunctionObjArgs(p[BIND], source[0], array, NULL);
        Py_DECREF(array);
        if (bound == NULL) return -1;
        Py_DECREF(bound);
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(p[BOUNDS]); i++) {
        PyObject **bound = &PyTuple_GET_ITEM(PyTuple_GET_ITEM(p[BOUNDS], i), 0); /* name, limit */
        PyObject *numbers = PyDict_GetItemWithError(p[HELD], bound[0]);
        int fine = numbers == NULL ? (PyErr_Occurred() ? -1 : 0) : below(numbers, PyLong_AsUnsignedLongLong(bound[1]));
        if (fine != 1) return fine;
    }
    if (p[PREPARE] == Py_None) return 1;
    PyObject *arrays = PyList_New(PyTuple_GET_SIZE(args));
    if (arrays == NULL) return -1;
    int done = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args) && done == 0; i++) {
        PyObject *array = array_at(self, args, i);
        if (array == NULL) done = -1;
        else PyList_SET_ITEM(arrays, i, array);
    }
    if (done == 0) done = told(p[PREPARE], arrays);
    Py_DECREF(arrays);
    return done < 0 ? -1 : 1;
}

/* The results as tensors of memory of their own: one, or what Python assembles of a list of them. */
static PyObject *returned(Shortcut *self) {
    PyObject **p = self->parts, *found = PyList_New(PyTuple_GET_SIZE(p[RESULTS]));
    if (found == NULL) return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(p[RESULTS]); i++) {
        PyObject *copy = PyObject_CallMethodNoArgs(PyTuple_GET_ITEM(p[RESULTS], i), str_copy);
        PyObject *tensor = copy == NULL ? NULL : tensor_of(copy);
        if (tensor == NULL) {
            Py_DECREF(found);
            return NULL;
        }
        PyList_SET_ITEM(found, i, tensor);
    }
    if (p[FINISH] != Py_None && told(p[FINISH], NULL) < 0) Py_CLEAR(found);
    if (found == NULL) return NULL;
    PyObject *result = p[ASSEMBLE] == Py_None ? Py_NewRef(PyList_GET_ITEM(found, 0)) : PyObject_CallOneArg(p[ASSEMBLE], found);
    Py_DECREF(found);
    return result;
}

/* The run itself, where nobody else may run; None if it is not for here. */
static PyObject *stepped(Shortcut *self, PyObject *args) {
    PyObject **p = self->parts;
    int64_t *counts = self->counts.buf, threads = counts[0];
    int fine = prepared(self, args);
    if (fine != 1) return fine < 0 ? NULL : Py_NewRef(Py_None);
    if (threads > 1) {
        if ((fine = told(p[ACQUIRE_POOL], Py_False)) != 1) return fine < 0 ? NULL : Py_NewRef(Py_None);
        int enough = PyList_GET_SIZE(p[WORKERS]) >= threads - 1;
        if (enough) run(&self->run, threads);
        if (told(p[RELEASE_POOL], NULL) < 0) return NULL;
        if (!enough) Py_RETURN_NONE;
    } else run(&self->run, 1);
    counts[1]--;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(p[STATES]); i++) {
        PyObject *state = PyObject_CallMethodNoArgs(PyTuple_GET_ITEM(p[STATES], i), str_advanced);
        if (state == NULL) return NULL;
        Py_DECREF(state);
    }
    return returned(self);
}

/* shortcut(args): what the compiled function returns for a tuple of arguments; None if Python has to look. */
static PyObject *shortcut_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names) {
    Shortcut *self = (Shortcut *)callable;
    PyObject **p = self->parts;
    if (PyVectorcall_NARGS(nargsf) != 1 || names != NULL || !PyTuple_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple of arguments");
        return NULL;
    }
    if (p[KINDS] == NULL || ((int64_t *)self->counts.buf)[1] == 0) Py_RETURN_NONE;
    int fine = alike(args[0], p[KINDS]);
    if (fine == 1) fine = holds(mode_variable, p[MODE]);
    if (fine == 1) fine = holds(p[DEVICES], p[ENTERED]);
    if (fine == 1) fine = unchanged(p[SIZES], p[CELLS], p[NAMED]);
    if (fine == 1) fine = holding(p[TENSORS], p[ARRAYS]);
    if (fine == 1) fine = told(p[ACQUIRE], Py_False);
    if (fine != 1) return fine < 0 ? NULL : Py_NewRef(Py_None);
    return finally(p[RELEASE], stepped(self, args[0]));
}

static int shortcut_traverse(Shortcut *self, visitproc visit, void *arg) {
    for (int i = 0; i < PARTS; i++) Py_VISIT(self->parts[i]);
    return 0;
}

static int shortcut_clear(Shortcut *self) {
    for (int i = 0; i < PARTS; i++) Py_CLEAR(self->parts[i]);
    return 0;
}

static void shortcut_dealloc(Shortcut *self) {
    PyObject_GC_UnTrack(self);
    shortcut_clear(self);
    PyBuffer_Release(&self->counts);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Shortcut(counts, run, **parts): a writable buffer of two int64, a tuple of five whole numbers, and all the parts. */
static PyObject *shortcut_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *counts;
    unsigned long long function, team, table;
    long long records, control;
    if (!PyArg_ParseTuple(args, "O(KKKLL)", &counts, &function, &team, &table, &records, &control)) return NULL;
    Shortcut *self = (Shortcut *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->vectorcall = shortcut_call;
    self->run = (Run){(uintptr_t)function, (uintptr_t)team, (uintptr_t)table, records, control};
    if (PyObject_GetBuffer(counts, &self->counts, PyBUF_WRITABLE) < 0) goto failed;
    for (int i = 0; i < PARTS; i++) {
        PyObject *part = kwargs == NULL ? NULL : PyDict_GetItemString(kwargs, part_names[i]);
        PyTypeObject *wanted = i < ARRAYS ? &PyTuple_Type : i < GIVEN ? &PyList_Type : i < MODE ? &PyDict_Type : NULL;
        if (part == NULL || (wanted != NULL && Py_TYPE(part) != wanted)) {
            PyErr_Format(PyExc_TypeError, "%s: expected %s", part_names[i], wanted == NULL ? "something" : wanted->tp_name);
            goto failed;
        }
        self->parts[i] = Py_NewRef(part);
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->parts[SOURCES]); i++) {
        PyObject **source = items_of(PyTuple_GET_ITEM(self->parts[SOURCES], i), 2);
        Py_ssize_t number = source == NULL ? -1 : PyLong_AsSsize_t(source[1]);
        if (number >= 0 && number < PyTuple_GET_SIZE(self->parts[KINDS])) continue;
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "sources: no such argument");
        goto failed;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->parts[BOUNDS]); i++) {
        PyObject **bound = items_of(PyTuple_GET_ITEM(self->parts[BOUNDS], i), 2);
        if (bound == NULL || (PyLong_AsUnsignedLongLong(bound[1]) == (unsigned long long)-1 && PyErr_Occurred())) goto failed;
    }
    if (self->parts[ASSEMBLE] == Py_None && PyTuple_GET_SIZE(self->parts[RESULTS]) != 1) {
        PyErr_SetString(PyExc_ValueError, "results: expected one");
        goto failed;
    }
    if (self->counts.len != 16 || !PyContextVar_CheckExact(self->parts[DEVICES])) {
        PyErr_SetString(PyExc_TypeError, "expected two int64, and a context variable");
        goto failed;
    }
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static PyTypeObject shortcut_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "nasturtium.core.accelerate.Shortcut",
    .tp_basicsize = sizeof(Shortcut),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = shortcut_new,
    .tp_dealloc = (destructor)shortcut_dealloc,
    .tp_traverse = (traverseproc)shortcut_traverse,
    .tp_clear = (inquiry)shortcut_clear,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Shortcut, vectorcall),
};

/* ---- module ---- */

/* Where a type keeps one of its __slots__; -1 with an error if it has no such slot. */
static Py_ssize_t slot_of(PyObject *type, const char *name) {
    PyObject *member = PyObject_GetAttrString(type, name);
    if (member == NULL) return -1;
    Py_ssize_t offset = -1;
    if (Py_TYPE(member) == &PyMemberDescr_Type) offset = ((PyMemberDescrObject *)member)->d_member->offset;
    else PyErr_Format(PyExc_TypeError, "%s.%s is not a slot", ((PyTypeObject *)type)->tp_name, name);
    Py_DECREF(member);
    return offset;
}

static PyObject *configure(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"ndarray", "tensor", "node", "plain", "leaf", "single", "double", "mode", "recording", "silent",
                            "next_number", "as_array", "number_array", "numbers_single", "numbers_double", "fail", "freed",
                            "collect", "propagate", "no_params", NULL};
    PyObject *o[20];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!O!O!O!O!OOOOOOOOO!O!OOOOO!", names, &PyType_Type, &o[0],
            &PyType_Type, &o[1], &PyType_Type, &o[2], &PyType_Type, &o[3], &PyType_Type, &o[4], &o[5], &o[6], &o[7], &o[8],
            &o[9], &o[10], &o[11], &o[12], &PyDict_Type, &o[13], &PyDict_Type, &o[14], &o[15], &o[16], &o[17], &o[18],
            &PyDict_Type, &o[19])) return NULL;
    if ((tensor_data = slot_of(o[1], "data")) < 0 || (tensor_node = slot_of(o[1], "node")) < 0 ||
        (at_number = slot_of(o[2], "number")) < 0 || (at_op = slot_of(o[2], "op")) < 0 ||
        (at_edges = slot_of(o[2], "edges")) < 0 || (at_saved = slot_of(o[2], "saved")) < 0 ||
        (at_output = slot_of(o[2], "output")) < 0 || (at_dtype = slot_of(o[2], "dtype")) < 0 ||
        (at_params = slot_of(o[2], "params")) < 0 || (at_shapes = slot_of(o[2], "shapes")) < 0 ||
        (at_casts = slot_of(o[2], "casts")) < 0) return NULL;
    for (int i = 0; i < 20; i++) Py_INCREF(o[i]); /* for good */
    ndarray_type = (PyTypeObject *)o[0];
    tensor_type = (PyTypeObject *)o[1];
    node_type = (PyTypeObject *)o[2];
    plain_type = (PyTypeObject *)o[3];
    leaf_type = (PyTypeObject *)o[4];
    single_dtype = o[5], double_dtype = o[6], mode_variable = o[7], recording_mode = o[8], silent_mode = o[9];
    next_number = o[10], as_array = o[11], number_array = o[12], numbers_single = o[13], numbers_double = o[14];
    fail = o[15], freed = o[16], collect = o[17], propagate = o[18], no_params = o[19];
    Py_RETURN_NONE;
}

/* ---- the processor ---- */

/* What it says of itself, all that LLVM knows one by: vendor, family, model, features, and what the system lets be used of
   them. The same on every core; None where nobody asks. */
static PyObject *processor(PyObject *module, PyObject *unused) {
#if defined(__x86_64__) && defined(__GNUC__)
    enum { LEAVES = 10 };
    static const unsigned leaves[LEAVES][2] = {
        {0, 0}, {1, 0}, {7, 0}, {7, 1}, {0xd, 1}, {0x14, 0}, {0x19, 0}, {0x24, 0}, {0x80000001, 0}, {0x80000008, 0},
    };
    unsigned found[LEAVES + 1][4] = {{0}};
    for (int i = 0; i < LEAVES; i++) {
        unsigned *at = found[i];
        __get_cpuid_count(leaves[i][0], leaves[i][1], at, at + 1, at + 2, at + 3);
    }
    found[1][1] = 0; /* the number of this core, among others */
    found[4][1] = found[4][2] = found[4][3] = 0;
    if (found[1][2] & bit_OSXSAVE) __asm__("xgetbv" : "=a"(found[LEAVES][0]), "=d"(found[LEAVES][1]) : "c"(0));
    return PyBytes_FromStringAndSize((const char *)found, sizeof found);
#else
    Py_RETURN_NONE;
#endif
}

static PyMethodDef functions[] = {
    {"alike", (PyCFunction)(void (*)(void))alike_py, METH_FASTCALL, "Whether arguments are tensors of these kinds."},
    {"below", below_py, METH_VARARGS, "Whether integers are from 0 up to a limit."},
    {"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, "Run a table of native records."},
    {"configure", (PyCFunction)(void (*)(void))configure, METH_VARARGS | METH_KEYWORDS, "Hand over the types to work on."},
    {"adam_direction", adam_direction, METH_VARARGS, "Update Adam's averages and write the direction they give."},
    {"descend", descend, METH_VARARGS, "weights -= gradient * rate, in place."},
    {"holding", (PyCFunction)(void (*)(void))holding_py, METH_FASTCALL, "Whether tensors hold these arrays."},
    {"mask_positive", mask_positive, METH_VARARGS, "out = gradient where y > 0, 0 elsewhere."},
    {"processor", processor, METH_NOARGS, "What the processor says of itself, or None."},
    {"pullback", (PyCFunction)(void (*)(void))pullback, METH_FASTCALL, "The reverse pass over plain arrays."},
    {"unchanged", (PyCFunction)(void (*)(void))unchanged_py, METH_FASTCALL, "Whether places hold what they held."},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "accelerate", "The hot loops of eager mode; see dispatch.py and tape.py.", -1, functions,
};

PyMODINIT_FUNC PyInit_accelerate(void) {
    str_dtype = PyUnicode_InternFromString("dtype");
    str_shape = PyUnicode_InternFromString("shape");
    str_rules = PyUnicode_InternFromString("rules");
    str_cast = PyUnicode_InternFromString("cast");
    str_advanced = PyUnicode_InternFromString("advanced");
    str_copy = PyUnicode_InternFromString("copy");
    nothing = PyTuple_Pack(1, Py_None);
    no_pair = PyTuple_Pack(2, Py_None, Py_None);
    if (PyType_Ready(&dispatcher_type) < 0 || PyType_Ready(&shortcut_type) < 0 || no_pair == NULL || nothing == NULL) return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    if (PyModule_AddObjectRef(module, "Dispatcher", (PyObject *)&dispatcher_type) < 0 ||
        PyModule_AddObjectRef(module, "Shortcut", (PyObject *)&shortcut_type) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
