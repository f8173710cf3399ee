#include "textflag.h"

// func foldChecksum(state uint32, p []byte) uint32
TEXT ·foldChecksum(SB), NOSPLIT, $0-36
	MOVL state+0(FP), AX
	MOVQ p_base+8(FP), SI
	MOVQ p_len+16(FP), CX
	LEAQ ·folds(SB), DI

	// The first 256 bytes, with the state so far. VMOVQ, since MOVQ would leave in Z4 what was above its first sixteen
	// bytes: a run of this function that ended in a fault of the memory it read has not come to VZEROUPPER.
	VMOVQ     AX, X4
	VMOVDQU64 0(SI), Z0
	VMOVDQU64 64(SI), Z1
	VMOVDQU64 128(SI), Z2
	VMOVDQU64 192(SI), Z3
	VPXORQ    Z4, Z0, Z0
	ADDQ      $256, SI
	SUBQ      $256, CX

	VBROADCASTI32X4 0(DI), Z8
	CMPQ            CX, $256
	JB              join

wide:
	VPCLMULQDQ $0x00, Z8, Z0, Z4
	VPCLMULQDQ $0x11, Z8, Z0, Z0
	VPCLMULQDQ $0x00, Z8, Z1, Z5
	VPCLMULQDQ $0x11, Z8, Z1, Z1
	VPCLMULQDQ $0x00, Z8, Z2, Z6
	VPCLMULQDQ $0x11, Z8, Z2, Z2
	VPCLMULQDQ $0x00, Z8, Z3, Z7
	VPCLMULQDQ $0x11, Z8, Z3, Z3
	VPTERNLOGQ $0x96, 0(SI), Z4, Z0
	VPTERNLOGQ $0x96, 64(SI), Z5, Z1
	VPTERNLOGQ $0x96, 128(SI), Z6, Z2
	VPTERNLOGQ $0x96, 192(SI), Z7, Z3
	ADDQ       $256, SI
	SUBQ       $256, CX
	CMPQ       CX, $256
	JAE        wide

join:
	// Four registers onto the last.
	VBROADCASTI32X4 16(DI), Z8
	VBROADCASTI32X4 32(DI), Z9
	VBROADCASTI32X4 48(DI), Z10
	VPCLMULQDQ      $0x00, Z8, Z0, Z4
	VPCLMULQDQ      $0x11, Z8, Z0, Z0
	VPCLMULQDQ      $0x00, Z9, Z1, Z5
	VPCLMULQDQ      $0x11, Z9, Z1, Z1
	VPCLMULQDQ      $0x00, Z10, Z2, Z6
	VPCLMULQDQ      $0x11, Z10, Z2, Z2
	VPTERNLOGQ      $0x96, Z4, Z5, Z0
	VPTERNLOGQ      $0x96, Z6, Z1, Z2
	VPTERNLOGQ      $0x96, Z2, Z0, Z3
	CMPQ            CX, $64
	JB              quarters

narrow:
	VPCLMULQDQ $0x00, Z10, Z3, Z4
	VPCLMULQDQ $0x11, Z10, Z3, Z3
	VPTERNLOGQ $0x96, 0(SI), Z4, Z3
	ADDQ       $64, SI
	SUBQ       $64, CX
	CMPQ       CX, $64
	JAE        narrow

quarters:
	// Its four quarters onto the last.
	VMOVDQU64     64(DI), Z8
	VPCLMULQDQ    $0x00, Z8, Z3, Z4
	VPCLMULQDQ    $0x11, Z8, Z3, Z5
	VPXORQ        Z4, Z5, Z4
	VEXTRACTI32X4 $1, Z4, X5
	VEXTRACTI32X4 $2, Z4, X6
	VEXTRACTI32X4 $3, Z3, X7
	VPTERNLOGQ    $0x96, X5, X6, X4
	VPXORQ        X7, X4, X0
	VMOVDQU64     96(DI), X8
	CMPQ          CX, $16
	JB            reduce

sixteen:
	VPCLMULQDQ $0x00, X8, X0, X4
	VPCLMULQDQ $0x11, X8, X0, X0
	VPTERNLOGQ $0x96, 0(SI), X4, X0
	ADDQ       $16, SI
	SUBQ       $16, CX
	CMPQ       CX, $16
	JAE        sixteen

reduce:
	// These sixteen bytes stand for all before, so theirs is the state.
	VMOVQ   X0, R8
	VPEXTRQ $1, X0, R9
	VZEROUPPER
	XORL    AX, AX
	CRC32Q  R8, AX
	CRC32Q  R9, AX
	CMPQ    CX, $8
	JB      bytes
	CRC32Q  0(SI), AX
	ADDQ    $8, SI
	SUBQ    $8, CX

bytes:
	TESTQ  CX, CX
	JEQ    done
	CRC32B 0(SI), AX
	INCQ   SI
	DECQ   CX
	JMP    bytes

done:
	MOVL AX, ret+32(FP)
	RET
