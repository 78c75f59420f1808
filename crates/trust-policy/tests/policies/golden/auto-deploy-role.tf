resource "aws_iam_role" "auto_deploy" {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = "sts:AssumeRole"
        Principal = {
          AWS = "arn:aws-us-gov:iam::210987654321:role/jenkins"
        }
      },
    ]
  })
}
