/* `handler`, by which XLA calls run(inputs, outputs). */
#ifdef XLA
#include "xla/ffi/api/c_api.h"

#define MOST_BUFFERS 256

XLA_FFI_Error *handler(XLA_FFI_CallFrame *frame) {
  XLA_FFI_Extension_Base *extension = frame->extension_start;
  if (extension != NULL && extension->type == XLA_FFI_Extension_Metadata) {
    XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)extension)->metadata;
    metadata->api_version.major_version = XLA_FFI_API_MAJOR;
    metadata->api_version.minor_version = XLA_FFI_API_MINOR;
    return NULL;
  }
  void *inputs[MOST_BUFFERS], *outputs[MOST_BUFFERS];
  for (int64_t i = 0; i < frame->args.size && i < MOST_BUFFERS; i++)
    inputs[i] = ((XLA_FFI_Buffer *)frame->args.args[i])->data;
  for (int64_t i = 0; i < frame->rets.size && i < MOST_BUFFERS; i++)
    outputs[i] = ((XLA_FFI_Buffer *)frame->rets.rets[i])->data;
  run(inputs, outputs);
  return NULL;
}
#endif
